/**
 * Reading files: the config file itself, and `include "glob";` replaced by the statements of what it names.
 *
 * A pattern is relative to the file that it stands in; `*`, `?` and `[…]` match within one name, never a leading
 * dot, and matches are read in the order of their names. A plain name must exist, a pattern may match nothing.
 * Fails: unreadable files, directories and cycles are problems at the `include`; nothing throws.
 * Limits: MAX_FILES files, MAX_OCTETS octets each.
 */
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { after, parse } from './parser.ts'
import type { Problems } from './problem.ts'
import type { Source, Span } from './source.ts'
import type { Item, Statement, Word } from './tree.ts'

const MAX_FILES = 1000
const MAX_OCTETS = 32 << 20

export interface Reading {
  statements: Statement[]
  /** The first file, for problems that have no place of their own. */
  source: Source
}

/** @param name the file, as the person wrote it. */
export function readFiles(name: string, sections: ReadonlySet<string>, problems: Problems): Reading {
  const empty: Source = { name, directory: dirname(resolve(name)), text: '' }
  const source = readSource(name, { source: empty, start: 0, end: 0 }, problems)
  if (!source) return { statements: [], source: empty }
  return new Includer(sections, problems).whole(source)
}

/** The same for text that is no file; its includes are files. */
export function readText(source: Source, sections: ReadonlySet<string>, problems: Problems): Reading {
  return new Includer(sections, problems).whole(source)
}

function readSource(name: string, at: Span, problems: Problems): Source | null {
  try {
    if (statSync(name).size > MAX_OCTETS) {
      problems.error(at, `${name} is larger than ${MAX_OCTETS >> 20} MiB`)
      return null
    }
    return { name, directory: dirname(resolve(name)), text: readFileSync(name, 'utf8') }
  } catch (error) {
    problems.error(at, `cannot read ${name}: ${reason(error)}`)
    return null
  }
}

function reason(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return 'there is no such file'
    case 'EACCES':
      return 'permission denied'
    case 'EISDIR':
      return 'it is a directory'
    default:
      return error instanceof Error ? error.message : String(error)
  }
}

class Includer {
  readonly #sections: ReadonlySet<string>
  readonly #problems: Problems
  /** Real paths of the files that are being read, outermost first. */
  readonly #open: string[] = []
  #files = 0

  constructor(sections: ReadonlySet<string>, problems: Problems) {
    this.#sections = sections
    this.#problems = problems
  }

  whole(source: Source): Reading {
    return { statements: this.#read(source), source }
  }

  #read(source: Source): Statement[] {
    this.#open.push(realPath(source.name))
    const statements = this.#expand(parse(source, this.#sections, this.#problems))
    this.#open.pop()
    return statements
  }

  #expand(statements: readonly Statement[]): Statement[] {
    return statements.flatMap((statement) => {
      const [first] = statement.items
      if (first?.kind === 'word' && first.text === 'include' && !first.quoted) return this.#include(statement)
      return [{ items: statement.items.map((item) => this.#expandItem(item)) }]
    })
  }

  #expandItem(item: Item): Item {
    return item.kind === 'block' ? { ...item, statements: this.#expand(item.statements) } : item
  }

  #include({ items }: Statement): Statement[] {
    const [keyword, pattern, next] = items
    if (pattern?.kind !== 'word') {
      this.#problems.error(
        after(keyword as Item),
        'expected the name of a file',
        'for example `include "zones/*.conf";`',
      )
      return []
    }
    if (next) this.#problems.error(after(pattern), 'missing `;`', '`include` takes one name')
    const found = this.#glob(pattern).flatMap((name) => this.#file(name, pattern))
    return next ? [...found, ...this.#expand([{ items: items.slice(2) }])] : found
  }

  #file(name: string, at: Word): Statement[] {
    if (this.#open.includes(realPath(name))) {
      this.#problems.error(
        at,
        `${name} includes itself`,
        'a file cannot be part of itself, not even by way of others',
      )
      return []
    }
    if (++this.#files > MAX_FILES) {
      if (this.#files === MAX_FILES + 1) this.#problems.error(at, `more than ${MAX_FILES} files are included`)
      return []
    }
    const source = readSource(name, at, this.#problems)
    return source ? this.#read(source) : []
  }

  #glob(pattern: Word): string[] {
    const base = isAbsolute(pattern.text) ? '/' : dirname(pattern.source.name)
    return expandPattern(
      base,
      pattern.text.split('/').filter((part) => part !== ''),
    )
  }
}

function expandPattern(base: string, parts: readonly string[]): string[] {
  const [part, ...rest] = parts
  if (part === undefined) return [base]
  if (!/[*?[]/.test(part)) return expandPattern(join(base, part), rest)
  const matcher = toMatcher(part)
  const names = namesIn(base).filter(
    (name) => matcher.test(name) && name.startsWith('.') === part.startsWith('.'),
  )
  return names
    .toSorted((one, other) => (one < other ? -1 : 1))
    .flatMap((name) => expandPattern(join(base, name), rest))
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return [] // a pattern in a directory that is not there matches nothing
  }
}

function toMatcher(part: string): RegExp {
  const source = part
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replaceAll('?', '.')
    .replaceAll('[!', '[^')
  try {
    return new RegExp(`^${source}$`, 's')
  } catch {
    return new RegExp(`^${part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`, 's')
  }
}

function realPath(name: string): string {
  try {
    return realpathSync(name)
  } catch {
    return resolve(name)
  }
}
