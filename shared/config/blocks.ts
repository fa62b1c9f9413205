/**
 * How the option table is written down, with the static type of each section's values read off it.
 *
 * `one(type, default)`: set at most once; `maybe(type)`: null when not set; `many(type)`: a list, one entry for
 * each time it is given; `needed(type)`: must be set. Next: `options.ts`, the table itself.
 */
import type { BlockType, Option, Options, Reader } from './section.ts'
import { quote, type Type } from './types.ts'
import { bad, ok } from './units.ts'

/** A sentence, who is told, and what else there is to say. */
export interface About {
  doc: string
  readers: readonly Reader[]
  usual?: string
  only?: readonly string[]
}

function make<V>(type: Type<unknown>, fallback: V, how: 'one' | 'many' | 'needed', about: About): Option<V> {
  return {
    type,
    many: how === 'many',
    required: how === 'needed',
    fallback,
    readers: about.readers,
    doc: about.doc,
    usual: about.usual ?? null,
    only: about.only ?? null,
  }
}

export function one<T>(type: Type<T>, fallback: T, about: About): Option<T> {
  return make(type, fallback, 'one', about)
}

export function maybe<T>(type: Type<T>, about: About): Option<T | null> {
  return make<T | null>(type, null, 'one', about)
}

export function many<T>(type: Type<T>, about: About): Option<T[]> {
  return make<T[]>(type, [], 'many', about)
}

/** Its absence is a problem, so its null is never seen behind the checker; readers still have to say so. */
export function needed<T>(type: Type<T>, about: About): Option<T | null> {
  return make<T | null>(type, null, 'needed', about)
}

export type ValuesOf<O extends Options> = { [K in keyof O]: O[K] extends Option<infer V> ? V : never }

export type ValuesOfBlock<B extends BlockType> = ValuesOf<B['options']>

const blocks: BlockType[] = []

/** A block of the table; its options become known to the hints of all others. */
export function block<O extends Options>(
  name: string,
  title: Type<string> | null,
  doc: string,
  options: O,
): BlockType<O> {
  const made = { name, title, doc, options, homeOf }
  blocks.push(made)
  return made
}

function homeOf(option: string): string | null {
  const found = blocks.filter((candidate) => Object.hasOwn(candidate.options, option))
  const names = found.map(({ name }) => `\`${name}\``)
  const last = names.pop()
  if (last) return `in ${names.length > 0 ? `${names.join(', ')} or ` : ''}${last}`
  const isSection = option === 'acl' || blocks.some(({ name }) => name === option)
  return isSection ? 'at the top level, outside of all braces' : null
}

export const everyone = ['mcp', 'qmgr', 'smtpd', 'smtpc', 'resolver', 'lda'] as const

/** The name of a section that others refer to. */
export const sectionName: Type<string> = {
  syntax: '"NAME"',
  read: (args) =>
    args.parse('"NAME"', (text) =>
      /^[a-z0-9][a-z0-9_.-]{0,63}$/i.test(text)
        ? ok(text)
        : bad(`\`${text}\` is no name`, 'letters, digits, `_`, `.` and `-`, at most 64'),
    ),
  valid: (value) => typeof value === 'string',
  print: quote,
}
