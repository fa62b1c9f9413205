/**
 * The arguments of one statement, taken from left to right by the type that reads them.
 *
 * A problem is reported where it is and the read returns undefined, so that one wrong argument is one problem.
 * Limits: none of its own. Next: `types.ts`.
 */
import { after } from './parser.ts'
import type { Problems } from './problem.ts'
import type { Span } from './source.ts'
import { suggestion } from './suggest.ts'
import type { Block, Item, Word } from './tree.ts'
import type { Reading } from './units.ts'

export class Arguments {
  readonly problems: Problems
  readonly #items: readonly Item[]
  readonly #known: ReadonlySet<string>
  #index: number

  /**
   * @param index where to begin; the item before it is the keyword.
   * @param known the options of the block: such a word at the start of a line is no argument.
   */
  constructor(items: readonly Item[], index: number, known: ReadonlySet<string>, problems: Problems) {
    this.problems = problems
    this.#items = items
    this.#index = index
    this.#known = known
  }

  get index(): number {
    return this.#index
  }

  /** What was taken last, or the keyword. */
  get last(): Span {
    return this.#items[Math.max(0, this.#index - 1)] as Span
  }

  /** Null at the end, and where another option seems to begin. */
  peek(): Item | null {
    const item = this.#items[this.#index]
    if (!item || (this.#index > 0 && this.#beginsOption(item))) return null
    return item
  }

  peekWord(): Word | null {
    const item = this.peek()
    return item?.kind === 'word' ? item : null
  }

  take(): void {
    this.#index++
  }

  /** Takes the word when it is this one. */
  keyword(text: string): Word | null {
    const word = this.peekWord()
    if (word?.text !== text || word.quoted) return null
    this.take()
    return word
  }

  /** The next word or string; `syntax` says what was expected. */
  word(syntax: string): Word | undefined {
    const item = this.peek()
    if (item?.kind === 'word') {
      this.take()
      return item
    }
    return this.#expected(syntax, item)
  }

  block(syntax: string): Block | undefined {
    const item = this.peek()
    if (item?.kind === 'block') {
      this.take()
      return item
    }
    const hint = item?.kind === 'word' ? `write \`{ ${item.text}; }\`` : null
    return this.#expected(`\`${syntax}\``, item, syntax.includes(';') ? hint : null)
  }

  /** The next word, put through a parser of text. */
  parse<T>(syntax: string, parser: (text: string, word: Word) => Reading<T>): T | undefined {
    const word = this.word(syntax)
    if (!word) return undefined
    const reading = parser(word.text, word)
    if (reading.kind === 'ok') return reading.value
    return this.fail(word, reading.message, habit(word) ?? reading.hint)
  }

  oneOf<const T extends string>(words: readonly T[]): T | undefined {
    const word = this.word(words.join(' | '))
    if (!word) return undefined
    const found = words.find((one) => one === word.text)
    return found ?? this.fail(word, `\`${word.text}\` is not known here`, suggestion(word.text, words))
  }

  fail(at: Span, message: string, hint: string | null = null): undefined {
    this.problems.error(at, message, hint)
    return undefined
  }

  /** Reports what is left over; the statement should have ended. */
  refuseRest(): void {
    const item = this.peek()
    if (!item) return
    if (item.kind === 'block') {
      this.problems.error(
        { ...item, end: item.start + 1 },
        'a block does not belong here',
        'end the statement with `;`',
      )
    } else if (item.kind === 'not') {
      this.problems.error(item, '`!` does not belong here')
    } else {
      const hint = item.leads ? 'is a `;` missing on the line before?' : 'end the statement with `;`'
      this.problems.error(item, `\`${item.text}\` is one argument too many`, hint)
    }
  }

  #expected(syntax: string, item: Item | null, hint: string | null = null): undefined {
    if (!item) return this.fail(after(this.last), `expected ${syntax}`)
    if (item.kind === 'block') {
      return this.fail({ ...item, end: item.start + 1 }, `expected ${syntax}, not a block`)
    }
    if (item.kind === 'not') return this.fail(item, `expected ${syntax}, not \`!\``)
    return this.fail(item, `expected ${syntax}, not \`${item.text}\``, habit(item) ?? hint)
  }

  #beginsOption(item: Item): boolean {
    return item.kind === 'word' && !item.quoted && item.leads && this.#known.has(item.text)
  }
}

/** What people bring from other configuration languages. */
function habit(word: Word): string | null {
  if (word.quoted) return null
  if (word.text === '=') return 'no `=` stands between an option and its value'
  return word.text.endsWith(',') ? 'no commas: values are separated by blanks' : null
}
