/**
 * Types of option values: each says how it is written, reads it from a statement's arguments, checks a finished
 * value once more for the final validation, and prints one for the manual.
 *
 * Here are the simple ones; `values.ts` has those of mail (hosts, sockets, match lists are in `match-list.ts`).
 */
import { resolve } from 'node:path'
import { domainToASCII } from 'node:url'
import { Arguments } from './arguments.ts'
import type { Word } from './tree.ts'
import type { Rate, Reading } from './units.ts'
import {
  bad,
  formatDuration,
  formatRate,
  formatSize,
  ok,
  parseDuration,
  parseRate,
  parseSize,
} from './units.ts'

export interface Type<T> {
  /** How it is written, for the manual and for "expected …". */
  readonly syntax: string
  /** For the manual: `1 to 64`. */
  readonly range?: string
  /** Undefined: a problem was reported. */
  read: (args: Arguments) => T | undefined
  /** For the assembled whole. */
  valid: (value: unknown) => boolean
  /** As one would write it. */
  print(value: T): string
}

type Parser<T> = (text: string, word: Word) => Reading<T>

function scalar<T>(
  syntax: string,
  parse: Parser<T>,
  valid: (value: unknown) => boolean,
  print: (value: T) => string,
): Type<T> {
  return { syntax, read: (args) => args.parse(syntax, parse), valid, print }
}

/** Refuses what lies outside `least` to `most`, both printed the way such values are written. */
function ranged(parse: Parser<number>, least: number, most: number, print: (value: number) => string) {
  return (text: string, word: Word): Reading<number> => {
    const reading = parse(text, word)
    if (reading.kind === 'bad' || (reading.value >= least && reading.value <= most)) return reading
    return bad(`\`${text}\` is out of range`, `${print(least)} to ${print(most)}`)
  }
}

function isWithin(least: number, most: number) {
  return (value: unknown) => typeof value === 'number' && value >= least && value <= most
}

export function size(least: number, most: number): Type<number> {
  const type = scalar('SIZE', ranged(parseSize, least, most, formatSize), isWithin(least, most), formatSize)
  return { ...type, range: `${formatSize(least)} to ${formatSize(most)}` }
}

export function duration(least: number, most: number): Type<number> {
  const parse = ranged(parseDuration, least, most, formatDuration)
  const type = scalar('DURATION', parse, isWithin(least, most), formatDuration)
  return { ...type, range: `${formatDuration(least)} to ${formatDuration(most)}` }
}

export function count(least: number, most: number, syntax = 'NUMBER'): Type<number> {
  const parse: Parser<number> = (text) =>
    /^\d{1,15}$/.test(text) ? ok(Number(text)) : bad(`\`${text}\` is no whole number`)
  const type = scalar(syntax, ranged(parse, least, most, String), isWithin(least, most), String)
  return { ...type, range: `${least} to ${most}` }
}

export const port = count(1, 65_535, 'PORT')

export const rate: Type<Rate> = scalar('RATE', parseRate, (value) => typeof value === 'object', formatRate)

export function oneOf<const T extends string>(...words: readonly T[]): Type<T> {
  return {
    syntax: words.join(' | '),
    read: (args) => args.oneOf(words),
    valid: (value) => words.some((word) => word === value),
    print: (value) => value,
  }
}

/** An option that is there or not: `stderr;`. */
export const presence: Type<boolean> = {
  syntax: '',
  read: () => true,
  valid: (value) => typeof value === 'boolean',
  print: (value) => (value ? 'yes' : 'no'),
}

/** A file of the administrator's: relative to the directory of the config file that names it. */
export const path: Type<string> = scalar(
  '"PATH"',
  (text, word) => checkPath(text, () => resolve(word.source.directory, text)),
  (value) => typeof value === 'string' && value.startsWith('/'),
  quote,
)

/** A file of the running server's: relative to `run-directory`. */
export const runPath: Type<string> = scalar(
  '"PATH"',
  (text) => checkPath(text, () => text),
  (value) => typeof value === 'string' && value !== '',
  quote,
)

function checkPath(text: string, finish: () => string): Reading<string> {
  if (text === '') return bad('an empty path')
  if (text.startsWith('~')) return bad('`~` is not known here', 'give the path from `/`, or relative')
  return ok(finish())
}

/** A name in DNS with at least two labels, in A-label form, lower case. */
export const fullDomain: Type<string> = scalar(
  '"DOMAIN"',
  (text) => {
    const name = toDomain(text)
    if (name === null)
      return bad(`\`${text}\` is no domain name`, 'letters, digits and `-`, labels joined by `.`')
    if (!name.includes('.'))
      return bad(
        `\`${text}\` is no full domain name`,
        name === 'example' ? 'for example `mail.example.org`' : `for example \`${name}.example.org\``,
      )
    return ok(name)
  },
  (value) => typeof value === 'string' && toDomain(value) === value,
  quote,
)

/** A-labels, lower case, no dot at the end; null when it is no name of a host or domain (RFC 1035 section 2.3.1). */
export function toDomain(text: string): string | null {
  if (/[^\p{L}\p{M}\p{N}._-]/u.test(text)) return null
  const bare = text.endsWith('.') ? text.slice(0, -1) : text
  const name = /^(?!.*xn--)[a-z0-9._-]*$/.test(bare) ? bare : domainToASCII(bare)
  if (name.length > 253 || /^[\d.]+$/.test(name)) return null
  return name.split('.').every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/.test(label)) ? name : null
}

/** Words that mean nothing to us. */
export const text: Type<string> = scalar(
  '"TEXT"',
  (given) => (given === '' ? bad('an empty text') : ok(given)),
  (value) => typeof value === 'string' && value !== '',
  quote,
)

export const systemName: Type<string> = scalar(
  '"NAME"',
  (text) =>
    /^[a-z_][a-z0-9_.-]{0,31}\$?$/i.test(text) ? ok(text) : bad(`\`${text}\` is no name of a user or group`),
  (value) => typeof value === 'string',
  quote,
)

/** `a b c`: one or more in one statement. */
export function series<T>(item: Type<T>, most: number): Type<T[]> {
  return {
    syntax: `${item.syntax} …`,
    ...(item.range === undefined ? {} : { range: item.range }),
    read: (args) => {
      const values: T[] = []
      do {
        const at = args.peek() ?? args.last
        const value = item.read(args)
        if (value === undefined) return undefined
        if (values.length >= most) return args.fail(at, `more than ${most} values`)
        values.push(value)
      } while (args.peekWord())
      return values
    },
    valid: (value) => Array.isArray(value) && value.length <= most && value.every(item.valid),
    print: (values) => values.map(item.print).join(' '),
  }
}

/** `{ a; b; }`: a block with one item to a statement. */
export function braced<T>(item: Type<T>, most: number): Type<T[]> {
  return {
    syntax: `{ ${item.syntax}; … }`,
    read: (args) => {
      const block = args.block(`{ ${item.syntax}; … }`)
      if (!block) return undefined
      const values: T[] = []
      for (const statement of block.statements) {
        const inner = new Arguments(statement.items, 0, new Set(), args.problems)
        const value = item.read(inner)
        if (value !== undefined) {
          inner.refuseRest()
          values.push(value)
        }
      }
      if (block.statements.length === 0)
        return args.fail({ ...block, end: block.start + 1 }, 'this list is empty')
      if (values.length > most)
        return args.fail({ ...block, end: block.start + 1 }, `more than ${most} values`)
      return values
    },
    valid: (value) => Array.isArray(value) && value.every(item.valid),
    print: (values) => `{ ${values.map((value) => `${item.print(value)}; `).join('')}}`,
  }
}

export function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}
