/**
 * Sections: statements given their meaning by a block of the option table.
 *
 * Every statement must be an option of the block; its type reads the arguments. What is unknown, set twice,
 * missing or left over is a problem with a hint, and the rest is still read. A `;` missing between two options
 * shows as an option's name among another's arguments: it is reported right behind the earlier option, and the
 * statement is read on as two. Defaults are not applied here: `schema.ts` does that.
 */
import { Arguments } from './arguments.ts'
import { after } from './parser.ts'
import type { Problems } from './problem.ts'
import { formatPlace, type Span } from './source.ts'
import { nearest, suggestion } from './suggest.ts'
import type { Item, Statement, Word } from './tree.ts'
import type { Type } from './types.ts'

/** Processes that are told an option's value; `agent` is the user's own, which reads accounts.conf. */
export type Reader = 'mcp' | 'qmgr' | 'smtpd' | 'smtpc' | 'resolver' | 'lda' | 'web' | 'agent' | 'check'

export interface Option<V> {
  readonly type: Type<unknown>
  /** Given more than once, each adds to a list. */
  readonly many: boolean
  readonly required: boolean
  readonly fallback: V
  readonly readers: readonly Reader[]
  /** One sentence for the manual. */
  readonly doc: string
  /** The default in words, where it depends on something else. */
  readonly usual: string | null
  /** Only for these kinds of section, `type local` and so on. */
  readonly only: readonly string[] | null
}

export type Options = Readonly<Record<string, Option<unknown>>>

export interface BlockType<O extends Options = Options> {
  readonly name: string
  readonly doc: string
  /** How the section is named: null for none. */
  readonly title: Type<string> | null
  readonly options: O
  /** For an option that this block does not have: the block that does. */
  readonly homeOf: (option: string) => string | null
}

/** What was written, before defaults. */
export interface RawSection {
  block: BlockType
  name: string
  /** The name, or the keyword of a section without one. */
  at: Span
  given: Map<string, unknown>
  /** The place of each option given: its keyword. */
  where: Map<string, Span>
  /** Options that were given or, by the look of a misspelt word, meant: nothing is said of their absence. */
  meant: Set<string>
}

/** A section as a value: `listener "mx" { … }`. */
export function section(block: BlockType): Type<RawSection> {
  const syntax = `${block.title ? `${block.title.syntax} ` : ''}{ … }`
  return {
    syntax,
    read: (args) => {
      const at = block.title ? (args.peek() ?? args.last) : args.last
      const name = block.title ? block.title.read(args) : ''
      const body = args.block('{')
      if (!body) return undefined
      const found = readSection(block, body.statements, name ?? '', at, args.problems)
      return name === undefined ? undefined : found
    },
    valid: (value) => typeof value === 'object' && value !== null,
    print: () => syntax,
  }
}

export function readSection(
  block: BlockType,
  statements: readonly Statement[],
  name: string,
  at: Span,
  problems: Problems,
): RawSection {
  const reader = new SectionReader(
    block,
    { block, name, at, given: new Map(), where: new Map(), meant: new Set() },
    problems,
  )
  for (const { items } of statements) reader.statement(items)
  reader.requireAll()
  return reader.section
}

class SectionReader {
  readonly section: RawSection
  readonly #block: BlockType
  readonly #problems: Problems
  readonly #known: ReadonlySet<string>

  constructor(block: BlockType, raw: RawSection, problems: Problems) {
    this.section = raw
    this.#block = block
    this.#problems = problems
    this.#known = optionNames(block)
  }

  statement(items: readonly Item[]): void {
    let index: number | null = 0
    while (index !== null && index < items.length) index = this.#option(items, index)
  }

  /** Where the next option begins when a `;` was forgotten, or null at the end. */
  #option(items: readonly Item[], index: number): number | null {
    const keyword = items[index]
    if (keyword?.kind !== 'word' || keyword.quoted) return this.#noKeyword(keyword)
    const name = this.#known.has(keyword.text) ? keyword.text : this.#unknown(keyword)
    const option = this.#block.options[name ?? '']
    if (name === null || !option) return null
    const args = new Arguments(items, index + 1, this.#known, this.#problems)
    this.#notePlace(name, keyword, option)
    const value = option.type.read(args)
    if (value === undefined) return this.#resume(items, args.index)
    this.#set(name, option, value)
    const next = items[args.index]
    if (next?.kind === 'word' && !next.quoted && this.#known.has(next.text)) {
      this.#problems.error(after(args.last), 'missing `;`', `\`${next.text}\` begins another option`)
      return args.index
    }
    args.refuseRest()
    return null
  }

  /** After a problem: on with the next line that begins with an option. */
  #resume(items: readonly Item[], from: number): number | null {
    const next = items.findIndex((item, index) => {
      return index >= from && item.kind === 'word' && item.leads && !item.quoted && this.#known.has(item.text)
    })
    return next === -1 ? null : next
  }

  #notePlace(name: string, keyword: Word, option: Option<unknown>): void {
    const { meant, where } = this.section
    meant.add(name)
    const before = where.get(name)
    if (!before) where.set(name, keyword)
    else if (!option.many) {
      this.#problems.error(keyword, `\`${name}\` is set twice`, `first at ${formatPlace(before)}`)
    }
  }

  #set(name: string, option: Option<unknown>, value: unknown): void {
    const { given } = this.section
    if (!option.many) return void given.set(name, value)
    const values = (given.get(name) ?? []) as unknown[]
    given.set(name, values)
    values.push(value)
  }

  #noKeyword(item: Item | undefined): null {
    if (!item) return null
    const what = item.kind === 'word' ? `"${item.text}"` : item.kind === 'not' ? '`!`' : 'a block'
    const at = item.kind === 'block' ? { ...item, end: item.start + 1 } : item
    this.#problems.error(at, `expected the name of an option, not ${what}`)
    return null
  }

  /** Reports it; a misspelt section is read on as what it must have been, for the mistakes inside. */
  #unknown(keyword: Word): string | null {
    const { name } = this.#block
    const here = [...this.#known]
    const home = this.#block.homeOf(keyword.text)
    const near = home === null ? nearest(keyword.text, here) : null
    if (near !== null) this.section.meant.add(near)
    const where = name === '' ? 'at the top level' : `in \`${name}\``
    const what = name === '' ? 'statement' : 'option'
    const hint = home === null ? suggestion(keyword.text, here) : `\`${keyword.text}\` belongs ${home}`
    this.#problems.error(keyword, `unknown ${what} \`${keyword.text}\` ${where}`, hint)
    return name === '' ? near : null
  }

  requireAll(): void {
    const { at, meant, name } = this.section
    for (const [key, option] of Object.entries(this.#block.options)) {
      if (!option.required || meant.has(key)) continue
      const who = name === '' ? `\`${this.#block.name}\`` : `${this.#block.name} \`${name}\``
      this.#problems.error(at, `${who} has no \`${key}\``, `add \`${key} ${option.type.syntax};\``)
    }
  }
}

const names = new WeakMap<BlockType, ReadonlySet<string>>()

function optionNames(block: BlockType): ReadonlySet<string> {
  const known = names.get(block) ?? new Set(Object.keys(block.options))
  names.set(block, known)
  return known
}
