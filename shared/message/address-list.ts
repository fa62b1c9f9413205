/**
 * Addresses out of an address list (RFC 5322 section 3.4), as a command line or a header field has them: names,
 * comments, groups, quoted strings, source routes and the blanks that the obsolete syntax allows anywhere.
 *
 * What cannot be read is reported with its text, never guessed: of `ann+"x"@example.org` a lenient parser makes
 * somebody else's address. A display name may be as odd as it likes, an address may not. Quoting that an address
 * does not need is taken away (RFC 5321 section 4.1.2). Unqualified names (`root`) pass: the server completes them.
 * One pass, linear in the text. `readMailboxes` also says where each address ends, so that one without a domain can
 * be completed where it stands.
 */
export type Addresses = { kind: 'good'; list: string[] } | { kind: 'bad'; what: string }
export type Mailboxes = { kind: 'good'; list: Mailbox[] } | { kind: 'bad'; what: string }

export interface Mailbox {
  address: string
  /** It has a domain. */
  qualified: boolean
  /** Where its last word ends in the text. */
  end: number
}

/** What a line of words before `<`, `@`, `,` or the end is made of. */
interface Word {
  kind: 'atom' | 'quoted' | 'dot' | 'odd'
  /** A quoted one without quotes. */
  text: string
}

const LONGEST_ADDRESS = 1000
const LONGEST_QUOTE = 80
/** Laxly: what is no special of RFC 5322, anything beyond ASCII as in RFC 6531. */
const ATOM = /[^\s"(),.:;<>@[\]\\\p{Cc}]+/uy
const QUOTED = /"((?:[^"\\\p{Cc}]|\\[^\p{Cc}]|\t)*)"/uy
const LITERAL = /\[[^\s[\]\\\p{Cc}]*\]/uy
const BLANKS = /[ \t\r\n]+/y
const DOT_STRING = /^[^\s"(),.:;<>@[\]\\]+(\.[^\s"(),.:;<>@[\]\\]+)*$/u

class Unreadable extends Error {}

/** @param text characters, folded or not. */
export function readAddresses(text: string): Addresses {
  const read = readMailboxes(text)
  return read.kind === 'good' ? { kind: 'good', list: read.list.map(({ address }) => address) } : read
}

export function readMailboxes(text: string): Mailboxes {
  const reader = new Reader(text)
  try {
    return { kind: 'good', list: reader.list() }
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error
    return { kind: 'bad', what: reader.entry() }
  }
}

class Reader {
  readonly #text: string
  readonly #found: Mailbox[] = []
  #at = 0
  /** Where the last word ended. */
  #last = 0
  #entry = 0
  #inGroup = false

  constructor(text: string) {
    this.#text = text
  }

  list(): Mailbox[] {
    while (this.#blank() || this.#at < this.#text.length) {
      this.#entry = this.#at
      this.#one()
    }
    return this.#found
  }

  /** The text of the entry that was read last, for the message. */
  entry(): string {
    const rest = this.#text.slice(this.#entry)
    return rest.length > LONGEST_QUOTE ? `${rest.slice(0, LONGEST_QUOTE)}…` : rest
  }

  /** A mailbox, the head or the end of a group, or the nothing between two commas. */
  #one(): void {
    const words = this.#words()
    const next = this.#text.charAt(this.#at)
    if (next === '<') {
      this.#angle()
      return this.#end()
    }
    if (next === ':' && words.length > 0 && !this.#inGroup) {
      this.#inGroup = true
      this.#at++
      return
    }
    if (words.length > 0 || next === '@') this.#keep(this.#address(words))
    this.#end()
  }

  /** What may follow an entry: a comma, the end of its group, or nothing. */
  #end(): void {
    this.#blank()
    const next = this.#text.charAt(this.#at)
    if (next === ';' && this.#inGroup) {
      this.#inGroup = false
      this.#at++
      return this.#end()
    }
    if (next === '') return
    if (next !== ',') throw new Unreadable()
    this.#at++
  }

  #angle(): void {
    this.#at++
    this.#blank()
    if (this.#text.charAt(this.#at) === '@') this.#route()
    const words = this.#words()
    const nobody = words.length === 0 && this.#text.charAt(this.#at) === '>'
    if (!nobody) this.#keep(this.#address(words))
    if (this.#text.charAt(this.#at) !== '>') throw new Unreadable()
    this.#at++
  }

  /** RFC 5322 section 4.4: `@one,@two:` before the address means nothing any more. */
  #route(): void {
    for (;;) {
      this.#blank()
      const next = this.#text.charAt(this.#at)
      if (next !== '@' && next !== ',' && next !== ':') throw new Unreadable()
      this.#at++
      if (next === ':') return
      if (next === '@') this.#domain()
    }
  }

  /** From behind the words of its local part. */
  #address(words: readonly Word[]): Mailbox {
    const local = localPart(words)
    if (this.#text.charAt(this.#at) !== '@') return { address: local, qualified: false, end: this.#last }
    this.#at++
    return { address: `${local}@${this.#domain()}`, qualified: true, end: this.#last }
  }

  #domain(): string {
    this.#blank()
    const literal = this.#match(LITERAL)?.[0]
    if (literal !== undefined) {
      this.#blank()
      return literal
    }
    const words = this.#words()
    if (words.length === 0 || words.some(({ kind }) => kind !== 'atom' && kind !== 'dot'))
      throw new Unreadable()
    return joined(words)
  }

  #keep(mailbox: Mailbox): void {
    if (mailbox.address.length > LONGEST_ADDRESS) throw new Unreadable()
    this.#found.push(mailbox)
  }

  /** All words up to what is none; comments and blanks between them are gone. */
  #words(): Word[] {
    const words: Word[] = []
    for (;;) {
      this.#blank()
      const atom = this.#match(ATOM)?.[0]
      if (atom !== undefined) {
        words.push({ kind: 'atom', text: atom })
        continue
      }
      const next = this.#text.charAt(this.#at)
      if (next === '"') words.push({ kind: 'quoted', text: this.#quoted() })
      else if (next !== '' && '.[]\\'.includes(next)) {
        words.push({ kind: next === '.' ? 'dot' : 'odd', text: next })
        this.#last = ++this.#at
      } else return words
    }
  }

  #quoted(): string {
    const inside = this.#match(QUOTED)?.[1]
    if (inside === undefined) throw new Unreadable()
    return inside.replace(/\\(.)/gsu, '$1')
  }

  /** Skips blanks and comments (RFC 5322 section 3.2.2), which nest; always false, for `while`. */
  #blank(): false {
    for (;;) {
      this.#match(BLANKS)
      if (this.#text.charAt(this.#at) !== '(') return false
      this.#comment()
    }
  }

  #comment(): void {
    let depth = 0
    do {
      const next = this.#text.charAt(this.#at++)
      if (next === '') throw new Unreadable()
      if (next === '\\') this.#at++
      if (next === '(') depth++
      if (next === ')') depth--
    } while (depth > 0)
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (!found) return null
    this.#at = pattern.lastIndex
    if (pattern !== BLANKS) this.#last = this.#at
    return found
  }
}

/** RFC 5322 section 4.4: words with dots between them; laxly, dots may stand anywhere among atoms. */
function localPart(words: readonly Word[]): string {
  const adjacent = words.some(({ kind }, n) => n > 0 && kind !== 'dot' && words[n - 1]?.kind !== 'dot')
  if (words.length === 0 || adjacent || words.some(({ kind }) => kind === 'odd')) throw new Unreadable()
  const text = words.map((word) => word.text).join('')
  if (words.every(({ kind }) => kind !== 'quoted') || DOT_STRING.test(text)) return text
  return `"${text.replace(/[\\"]/g, '\\$&')}"`
}

function joined(words: readonly Word[]): string {
  const adjacent = words.some(({ kind }, n) => n > 0 && kind === 'atom' && words[n - 1]?.kind === 'atom')
  if (adjacent) throw new Unreadable()
  return words.map(({ text }) => text).join('')
}
