/**
 * All maps of the config, by name: opened when they are first asked, asked under one key after another (`keys.ts`),
 * and remembered for their `cache` where they are no files.
 *
 * Answers at once wherever the map does. Never throws: whatever goes wrong is `trouble`, in the log once until the map
 * answers again. Equal questions that are under way share one.
 */
import type { Log } from '../../../shared/base/log.ts'
import type { MapSlice } from '../../../shared/config/slices.ts'
import { Cache } from '../dns/cache.ts'
import type { Stub } from '../dns/stub.ts'
import { LONGEST_KEY, type MapAnswer, type MapSource, MISSING, trouble } from './answer.ts'
import { keysOf, type Use, wholeKeyOf } from './keys.ts'
import { openSource } from './sources.ts'

export type Looked = { kind: 'found'; key: string; value: string } | Exclude<MapAnswer, { kind: 'found' }>

export interface MapsOptions {
  maps: readonly MapSlice[]
  dns: Pick<Stub, 'lookup'>
  delimiter: string
  log: Log
  /** Milliseconds of a clock that does not jump. */
  now: () => number
}

const MOST_REMEMBERED = 10_000

interface Opened {
  slice: MapSlice
  source: MapSource
  cache: Cache<MapAnswer>
  pending: Map<string, Promise<MapAnswer>>
  inTrouble: boolean
}

export class Maps {
  readonly #options: MapsOptions
  readonly #slices: ReadonlyMap<string, MapSlice>
  readonly #opened = new Map<string, Opened>()

  constructor(options: MapsOptions) {
    this.#options = options
    this.#slices = new Map(options.maps.map((slice) => [slice.name, slice]))
  }

  /** Looks for text files that have changed; a number that grows when there is one. */
  look(now: number): number {
    let version = 0
    for (const { source } of this.#opened.values()) version += source.look?.(now) ?? 0
    return version
  }

  /** Whether what it says holds until `look` says otherwise. */
  isWatched(name: string): boolean {
    return this.#open(name)?.source.look !== undefined
  }

  ask(name: string, use: Use, key: string): Looked | Promise<Looked> {
    const map = this.#open(name)
    if (!map) return { kind: 'trouble', why: `there is no map ${name}` }
    if (key.length > LONGEST_KEY) return MISSING as Looked
    const keys = map.source.wholeKeys ? wholeKeyOf(use, key) : keysOf(use, key, this.#options.delimiter)
    return this.#first(map, keys, 0)
  }

  /** A value that is no good where it was wanted. */
  complain(name: string, key: string, why: string): void {
    this.#options.log.warn({ map: name, key, why }, 'map has a value that is no good')
  }

  close(): void {
    for (const { source } of this.#opened.values()) source.close()
    this.#opened.clear()
  }

  #first(map: Opened, keys: readonly string[], from: number): Looked | Promise<Looked> {
    for (let index = from; index < keys.length; index++) {
      const key = keys[index] ?? ''
      const answer = this.#one(map, key)
      if (answer instanceof Promise)
        return answer.then((one) => settle(key, one) ?? this.#first(map, keys, index + 1))
      const settled = settle(key, answer)
      if (settled) return settled
    }
    return { kind: 'missing' }
  }

  #one(map: Opened, key: string): MapAnswer | Promise<MapAnswer> {
    const { cache, pending, source } = map
    const known = cache.get(key, this.#options.now()) ?? pending.get(key)
    if (known) return known
    const answer = source.lookUp(key)
    if (!(answer instanceof Promise)) return this.#heard(map, answer)
    const asked = answer.catch(trouble).then((one) => {
      pending.delete(key)
      if (one.kind !== 'trouble' && map.slice.cache > 0)
        cache.set(key, one, this.#options.now() + map.slice.cache)
      return this.#heard(map, one)
    })
    pending.set(key, asked)
    return asked
  }

  #heard(map: Opened, answer: MapAnswer): MapAnswer {
    const inTrouble = answer.kind === 'trouble'
    if (inTrouble !== map.inTrouble) {
      map.inTrouble = inTrouble
      const { name } = map.slice
      if (answer.kind === 'trouble') this.#options.log.error({ map: name, why: answer.why }, 'map in trouble')
      else this.#options.log.info({ map: name }, 'map answers again')
    }
    return answer
  }

  /** One that cannot even be opened is tried again with the next question. */
  #tryOpen(slice: MapSlice): MapSource {
    try {
      return openSource(slice, this.#options)
    } catch (error) {
      const answer = trouble(error)
      return { wholeKeys: true, lookUp: () => answer, close: () => undefined, broken: true }
    }
  }

  #open(name: string): Opened | null {
    const known = this.#opened.get(name)
    if (known) return known
    const slice = this.#slices.get(name)
    if (!slice) return null
    const source = this.#tryOpen(slice)
    source.look?.(this.#options.now())
    const opened = {
      slice,
      source,
      cache: new Cache<MapAnswer>(MOST_REMEMBERED),
      pending: new Map(),
      inTrouble: false,
    }
    if (!source.broken) this.#opened.set(name, opened)
    return opened
  }
}

/** Null: the next key may be there. */
function settle(key: string, answer: MapAnswer): Looked | null {
  if (answer.kind === 'missing') return null
  return answer.kind === 'found' ? { kind: 'found', key, value: answer.value } : answer
}
