/**
 * The parser: tokens to statements, recursive descent, never throwing.
 *
 *     statements = { items ";" }        items = item { item }        item = word | string | "!" | "{" statements "}"
 *
 * It mends what it can so that one slip is one problem: a missing `;` before `}`, after `}` at the end of a line
 * or before a section that starts a line; a `}` too many; a block left open where a section starts at the
 * margin. A missing `;` between two options needs to know what an option is, so `section.ts` finds it.
 * Limits: MAX_DEPTH nested blocks.
 */
import { type Token, tokenize } from './lexer.ts'
import type { Problems } from './problem.ts'
import { positionOf, type Source, type Span } from './source.ts'
import type { Block, Item, Statement } from './tree.ts'

const MAX_DEPTH = 24

/** @param sections the words that open a section at the top level: `listener`, `zone`, … */
export function parse(source: Source, sections: ReadonlySet<string>, problems: Problems): Statement[] {
  return new Parser(tokenize(source, problems), sections, problems).run()
}

class Parser {
  readonly #tokens: readonly Token[]
  readonly #sections: ReadonlySet<string>
  readonly #problems: Problems
  readonly #end: Token
  #index = 0
  #depth = 0
  /** The blocks around this place were given up: a new section has begun. */
  #abandoned = false
  /** One block left open leaves all around it open: said once. */
  #reported = false

  constructor(tokens: readonly Token[], sections: ReadonlySet<string>, problems: Problems) {
    this.#tokens = tokens
    this.#sections = sections
    this.#problems = problems
    this.#end = tokens[tokens.length - 1] as Token // the lexer always ends with one
  }

  run(): Statement[] {
    const statements: Statement[] = []
    while (this.#peek().kind !== 'end') {
      statements.push(...this.#statements())
      this.#abandoned = false
      this.#reported = false
      if (this.#peek().kind === '}') this.#strayBrace()
    }
    return statements
  }

  #peek(ahead = 0): Token {
    return this.#tokens[this.#index + ahead] ?? this.#end
  }

  #take(): Token {
    const token = this.#peek()
    if (token.kind !== 'end') this.#index++
    return token
  }

  #strayBrace(): void {
    this.#problems.error(
      this.#take(),
      'this `}` closes nothing',
      'remove it, or look for a `{` that is missing above',
    )
    if (this.#peek().kind === ';') this.#take()
  }

  /** Up to `}` or the end, neither of which it takes. */
  #statements(): Statement[] {
    const statements: Statement[] = []
    for (;;) {
      const { kind } = this.#peek()
      if (kind === 'end' || kind === '}') return statements
      if (this.#depth > 0 && this.#startsSection()) this.#abandoned = true
      if (this.#abandoned) return statements
      if (kind === ';') this.#take()
      else statements.push(this.#statement())
    }
  }

  #statement(): Statement {
    const items: Item[] = []
    for (;;) {
      const token = this.#peek()
      if (token.kind === ';') {
        this.#take()
        return { items }
      }
      if (this.#abandoned || this.#isCutOff(token, items)) {
        if (!this.#abandoned && !this.#reported) this.#missingSemicolon()
        return { items }
      }
      items.push(this.#item())
    }
  }

  /** Whether the statement must have ended before this token, although no `;` says so. */
  #isCutOff(token: Token, items: readonly Item[]): boolean {
    if (token.kind === '}' || token.kind === 'end') return true
    if (items.length === 0 || !token.leads) return false
    return items[items.length - 1]?.kind === 'block' ? token.kind !== '{' : this.#startsSection()
  }

  #missingSemicolon(): void {
    const before = this.#tokens[this.#index - 1] ?? this.#end
    this.#problems.error(after(before), 'missing `;`', `end this statement with \`;\``)
  }

  #item(): Item {
    const token = this.#take()
    if (token.kind === '{') return this.#block(token)
    if (token.kind === '!') return { kind: 'not', source: token.source, start: token.start, end: token.end }
    const { source, start, end, text, leads } = token
    return { kind: 'word', source, start, end, text, leads, quoted: token.kind === 'string' }
  }

  #block(open: Token): Block {
    if (this.#depth >= MAX_DEPTH) return this.#tooDeep(open)
    this.#depth++
    const statements = this.#statements()
    this.#depth--
    const { source, start } = open
    const close = this.#peek()
    if (close.kind === '}') this.#take()
    else if (close.kind === 'end' || this.#abandoned) this.#neverClosed(open, close)
    return { kind: 'block', source, start, end: close.kind === '}' ? close.end : open.end, statements }
  }

  #neverClosed(open: Token, until: Token): void {
    if (this.#reported) return
    this.#reported = true
    const where =
      until.kind === 'end' ? 'the end of the file' : `line ${positionOf(until.source, until.start).line}`
    this.#problems.error(open, 'this block is never closed', `add \`};\` before ${where}`)
  }

  #tooDeep(open: Token): Block {
    this.#problems.error(
      open,
      `blocks are nested more than ${MAX_DEPTH} deep`,
      'use an `acl` with a name of its own',
    )
    let depth = 1
    let token = open
    while (depth > 0 && token.kind !== 'end') {
      token = this.#take()
      if (token.kind === '{') depth++
      if (token.kind === '}') depth--
    }
    return { kind: 'block', source: open.source, start: open.start, end: token.end, statements: [] }
  }

  /** `zone "x" {` at the margin: a new section, whatever is still open. */
  #startsSection(): boolean {
    const token = this.#peek()
    if (token.kind !== 'word' || !token.leads || !this.#sections.has(token.text)) return false
    if (!isAtMargin(token)) return false
    const next = this.#peek(1)
    return next.kind === '{' || (isText(next) && this.#peek(2).kind === '{')
  }
}

function isText(token: Token): boolean {
  return token.kind === 'word' || token.kind === 'string'
}

function isAtMargin(token: Token): boolean {
  return token.start === 0 || token.source.text.charAt(token.start - 1) === '\n'
}

/** The place right behind something: where a missing `;` belongs. */
export function after(span: Span): Span {
  return { source: span.source, start: span.end, end: span.end + 1 }
}
