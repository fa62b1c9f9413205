/**
 * Shapes: run-time checks for what arrives from another process, with the static type read off the shape.
 *
 * `accepts` is the fast path and never throws; `explain` is asked only after a refusal and says where and why.
 * A struct refuses unknown fields: a peer that sends one runs another build, or is not our build at all.
 * Next: `shared/bus/messages.ts`, where every bus message is declared with these.
 */

export interface Shape<T> {
  accepts(value: unknown): value is T
  /** Why `value` is refused, as `path: reason`; only for values that `accepts` refused. */
  explain(value: unknown, path: string): string
  /** True for `optional` shapes: the field may be absent. */
  readonly absent?: true
}

export type Infer<S> = S extends Shape<infer T> ? T : never

type Fields = Record<string, Shape<unknown>>
type OptionalKeys<F extends Fields> = { [K in keyof F]: F[K] extends { absent: true } ? K : never }[keyof F]
type Flatten<T> = { [K in keyof T]: T[K] }
export type InferFields<F extends Fields> = Flatten<
  { [K in Exclude<keyof F, OptionalKeys<F>>]: Infer<F[K]> } & { [K in OptionalKeys<F>]?: Infer<F[K]> }
>

function simple<T>(name: string, accepts: (value: unknown) => value is T): Shape<T> {
  return { accepts, explain: (value, path) => `${path}: expected ${name}, got ${typeName(value)}` }
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value
}

/** The longest string that any field may carry, in UTF-16 units; content travels as bytes. */
const MAX_STRING = 1 << 20

export const string: Shape<string> = simple(
  'a string',
  (value): value is string => typeof value === 'string' && value.length <= MAX_STRING,
)
export const boolean: Shape<boolean> = simple(
  'a boolean',
  (value): value is boolean => typeof value === 'boolean',
)
export const integer: Shape<number> = simple('an integer', (value): value is number =>
  Number.isSafeInteger(value),
)
/** A non-negative finite number that need not be whole: milliseconds of lag, rates. */
export const measure: Shape<number> = simple(
  'a number that is not negative',
  (value): value is number => typeof value === 'number' && value >= 0 && value < Number.POSITIVE_INFINITY,
)
export const bytes: Shape<Uint8Array> = simple(
  'bytes',
  (value): value is Uint8Array => value instanceof Uint8Array,
)

export function oneOf<const T extends readonly string[]>(...words: T): Shape<T[number]> {
  const known: ReadonlySet<unknown> = new Set(words)
  return simple(`one of ${words.join(', ')}`, (value): value is T[number] => known.has(value))
}

export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return {
    accepts: (value): value is T | null => value === null || shape.accepts(value),
    explain: shape.explain,
  }
}

export function optional<T>(shape: Shape<T>): Shape<T> & { absent: true } {
  return { accepts: shape.accepts, explain: shape.explain, absent: true }
}

export function list<T>(item: Shape<T>, most = 100_000): Shape<T[]> {
  return {
    accepts: (value): value is T[] => {
      if (!Array.isArray(value) || value.length > most) return false
      for (const one of value) if (!item.accepts(one)) return false
      return true
    },
    explain: (value, path) => {
      if (!Array.isArray(value)) return `${path}: expected a list, got ${typeName(value)}`
      if (value.length > most) return `${path}: ${value.length} items, at most ${most}`
      const at = value.findIndex((one) => !item.accepts(one))
      return item.explain(value[at], `${path}[${at}]`)
    },
  }
}

/** Any string keys, all values of one shape. */
export function record<T>(item: Shape<T>): Shape<Record<string, T>> {
  return {
    accepts: (value): value is Record<string, T> => {
      if (!isPlain(value)) return false
      for (const key in value) if (!item.accepts(value[key])) return false
      return true
    },
    explain: (value, path) => {
      if (!isPlain(value)) return `${path}: expected an object, got ${typeName(value)}`
      const key = Object.keys(value).find((one) => !item.accepts(value[one])) ?? ''
      return item.explain(value[key], `${path}.${key}`)
    },
  }
}

export function struct<F extends Fields>(fields: F): Shape<InferFields<F>> {
  const entries = Object.entries(fields)
  return {
    accepts: (value): value is InferFields<F> => {
      if (!isPlain(value)) return false
      let seen = 0
      for (const [key, shape] of entries) {
        const field = value[key]
        if (field === undefined) {
          if (!shape.absent) return false
        } else {
          if (!shape.accepts(field)) return false
          seen++
        }
      }
      return seen === countDefined(value)
    },
    explain: (value, path) => explainStruct(fields, value, path),
  }
}

function countDefined(value: Record<string, unknown>): number {
  let count = 0
  for (const key in value) if (value[key] !== undefined) count++
  return count
}

function explainStruct(fields: Fields, value: unknown, path: string): string {
  if (!isPlain(value)) return `${path}: expected an object, got ${typeName(value)}`
  for (const [key, shape] of Object.entries(fields)) {
    if (value[key] === undefined && shape.absent) continue
    if (!shape.accepts(value[key])) return shape.explain(value[key], `${path}.${key}`)
  }
  const unknown = Object.keys(value).find((key) => !(key in fields))
  return `${path}: unknown field ${unknown ?? '?'}`
}

/** Structs told apart by their `kind` field. */
export function union<V extends Record<string, Fields>>(
  variants: V,
): Shape<{ [K in keyof V & string]: Flatten<{ kind: K } & InferFields<V[K]>> }[keyof V & string]> {
  type Any = { [K in keyof V & string]: Flatten<{ kind: K } & InferFields<V[K]>> }[keyof V & string]
  const shapes = new Map<unknown, Shape<unknown>>()
  for (const [kind, fields] of Object.entries(variants))
    shapes.set(kind, struct({ kind: oneOf(kind), ...fields }))
  return {
    accepts: (value): value is Any => isPlain(value) && (shapes.get(value['kind'])?.accepts(value) ?? false),
    explain: (value, path) => {
      if (!isPlain(value)) return `${path}: expected an object, got ${typeName(value)}`
      const shape = shapes.get(value['kind'])
      if (!shape) return `${path}.kind: expected one of ${[...shapes.keys()].join(', ')}`
      return shape.explain(value, path)
    },
  }
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
  )
}

/** Accepts whatever JSON can carry; for a config slice, whose own checks come before it is sent. */
export const anything: Shape<unknown> = { accepts: (_value): _value is unknown => true, explain: () => '' }
