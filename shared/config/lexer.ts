/**
 * The lexer: configuration text to tokens, in one pass, linear in the text, never throwing.
 *
 * BIND's lexical rules: `//` and `#` comment to the end of the line, slash-star comments over lines; words are bare or in
 * double quotes with `\"` and `\\`. A comment begins only where a token could, so `/etc/posthorn/*.conf` and
 * `mx#2` are words. What cannot be a token is a problem and is passed over; the rest is still read.
 * Next: `parser.ts`.
 */
import type { Problems } from './problem.ts'
import type { Source, Span } from './source.ts'

export interface Token extends Span {
  readonly kind: 'word' | 'string' | '{' | '}' | ';' | '!' | 'end'
  /** Of a string: unescaped. */
  readonly text: string
  /** First of its line. */
  readonly leads: boolean
}

const blank = /\s+/y
const lineComment = /(?:\/\/|#)[^\n]*/y
const word = /[^\s;{}"\p{Cc}\ufffd]+/uy
const plainString = /[^"\\\n]*/y
const garbage = /[\p{Cc}\ufffd]+/uy

export function tokenize(source: Source, problems: Problems): Token[] {
  return new Lexer(source, problems).run()
}

class Lexer {
  readonly #source: Source
  readonly #problems: Problems
  readonly #tokens: Token[] = []
  #at = 0
  #leads = true

  constructor(source: Source, problems: Problems) {
    this.#source = source
    this.#problems = problems
  }

  run(): Token[] {
    const { length } = this.#source.text
    while (this.#at < length) {
      if (!this.#skip()) this.#token()
    }
    this.#push('end', length, '')
    return this.#tokens
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at
    return pattern.exec(this.#source.text)?.[0] ?? null
  }

  #span(start: number, end: number): Span {
    return { source: this.#source, start, end }
  }

  #push(kind: Token['kind'], end: number, text: string): void {
    this.#tokens.push({ source: this.#source, kind, start: this.#at, end, text, leads: this.#leads })
    this.#at = end
    this.#leads = false
  }

  /** Blanks and comments; false when a token begins here. */
  #skip(): boolean {
    const space = this.#match(blank)
    if (space !== null) {
      if (space.includes('\n')) this.#leads = true
      this.#at += space.length
      return true
    }
    if (this.#source.text.startsWith('/*', this.#at)) return this.#blockComment()
    const comment = this.#match(lineComment)
    if (comment === null) return false
    this.#at += comment.length
    return true
  }

  #blockComment(): true {
    const end = this.#source.text.indexOf('*/', this.#at + 2)
    if (end === -1) {
      this.#problems.error(
        this.#span(this.#at, this.#at + 2),
        'this comment never ends',
        'close it with `*/`; everything after it was passed over',
      )
    }
    const next = end === -1 ? this.#source.text.length : end + 2
    if (this.#source.text.slice(this.#at, next).includes('\n')) this.#leads = true
    this.#at = next
    return true
  }

  #token(): void {
    const char = this.#source.text.charAt(this.#at)
    if (char === '{' || char === '}' || char === ';' || char === '!')
      return this.#push(char, this.#at + 1, char)
    if (char === '"') return this.#string()
    const found = this.#match(word)
    if (found === null) return this.#garbage()
    const bare = found.replace(/^['‘’“”]|['‘’“”]$/g, '')
    if (bare !== found) {
      const at = this.#span(this.#at, this.#at + found.length)
      this.#problems.error(at, `${found} is in quotes of another kind`, 'quote with `"`')
    }
    this.#push('word', this.#at + found.length, bare)
  }

  #garbage(): void {
    const found = this.#match(garbage) ?? this.#source.text.charAt(this.#at)
    const what = whatIsStrange(found)
    this.#problems.error(this.#span(this.#at, this.#at + found.length), what)
    this.#at += found.length
  }

  #string(): void {
    const start = this.#at
    let end = start + 1
    let text = ''
    for (;;) {
      plainString.lastIndex = end
      const plain = plainString.exec(this.#source.text)?.[0] ?? ''
      text += plain
      end += plain.length
      const char = this.#source.text.charAt(end)
      if (char === '"') return this.#ended(end + 1, text)
      if (char !== '\\' || this.#source.text.charAt(end + 1) === '\n') return this.#unended(start, end)
      text += this.#escape(end)
      end += 2
    }
  }

  #ended(end: number, text: string): void {
    const strange = /[\p{Cc}\ufffd]/u.exec(text)?.[0]
    if (strange !== undefined) this.#problems.error(this.#span(this.#at, end), whatIsStrange(strange))
    this.#push('string', end, text)
  }

  #escape(at: number): string {
    const char = this.#source.text.charAt(at + 1)
    if (char !== '"' && char !== '\\') {
      this.#problems.error(
        this.#span(at, at + 2),
        `unknown escape \`\\${char}\``,
        'only `\\"` and `\\\\` are escapes; write a backslash as `\\\\`',
      )
    }
    return char
  }

  /** What was meant is a guess: the string ends before the next blank, brace or semicolon. */
  #unended(start: number, end: number): void {
    this.#problems.error(
      this.#span(start, start + 1),
      'this string has no closing `"`',
      'add `"` on this line',
    )
    const text = this.#source.text.slice(start + 1, end)
    const length = /^[^\s;{}]*/.exec(text)?.[0].length ?? 0
    this.#push('string', start + 1 + length, text.slice(0, length))
  }
}

function whatIsStrange(found: string): string {
  if (found.startsWith('\ufffd')) return 'this is not UTF-8'
  return `a control character (code ${found.charCodeAt(0)}) does not belong here`
}
