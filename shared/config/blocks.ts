/**
 * How the option table is written down, with the static type of each section's values read off it.
 *
 * `one(type, default)`: set at most once; `maybe(type)`: null when not set; `many(type)`: a list, one entry for
 * each time it is given; `needed(type)`: must be set. Next: `options.ts`, the table itself.
 */
import type { BlockType, Option, Options, Reader } from './section.ts'
import type { Type } from './types.ts'

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
