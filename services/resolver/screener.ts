/**
 * What is known of a client, as a score: DNS lists, its name, what it says in EHLO. Everything is asked at once;
 * what has not come by the screening's `timeout` counts nothing. Answers of DNS are remembered by the stub.
 *
 * Never rejects: a screening that is not known (a reload is under way) finds nothing.
 * Next: `score.ts` for the arithmetic, `dns-list.ts`, `client-name.ts`, `client-helo.ts` for what is asked.
 */
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { ResolverSlice, ScreeningFacts, SignName } from '../../shared/config/slices.ts'
import { heloSigns } from './client-helo.ts'
import { type ReverseName, reverseNameOf } from './client-name.ts'
import { DnsList } from './dns-list.ts'
import type { Lookups } from './host-addresses.ts'
import { addUp, type Sign, worst } from './score.ts'

export type ScreenQuestion = Payload<'screen'>
export type ScreenAnswer = Answer<'screen'>

export interface ScreenerOptions {
  slice: Pick<ResolverSlice, 'hostname' | 'zones' | 'screenings'>
  dns: Lookups
  log: Log
  /** Milliseconds of a clock that does not jump. */
  now: () => number
}

/** One screening with the state of its lists. */
interface Bench {
  facts: ScreeningFacts
  lists: DnsList[]
}

const reverseSigns: Readonly<Record<ReverseName['kind'], SignName | null>> = {
  none: 'no-reverse-name',
  unconfirmed: 'unconfirmed-reverse-name',
  confirmed: null,
  later: null,
}

export class Screener {
  readonly #dns: Lookups
  readonly #benches: ReadonlyMap<string, Bench>
  readonly #ours: ReadonlySet<string>

  constructor({ slice, dns, log, now }: ScreenerOptions) {
    this.#dns = dns
    this.#benches = new Map(
      slice.screenings.map((facts) => [
        facts.name,
        { facts, lists: facts.lists.map((list) => new DnsList({ list, dns, log, now })) },
      ]),
    )
    const local = slice.zones.filter(({ type }) => type === 'local').map(({ name }) => name)
    this.#ours = new Set([slice.hostname, ...local])
  }

  async screen({ screening, client, helo }: ScreenQuestion): Promise<ScreenAnswer> {
    const bench = this.#benches.get(screening)
    if (!bench) return addUp([])
    const { facts, lists } = bench
    const late = lateness(facts.timeout)
    const asked = [
      ...lists.map((list) => listSign(list, client, late.passed)),
      Promise.race([this.#reverse(facts, client), late.passed]),
      Promise.race([this.#helo(facts, client, helo), late.passed]),
    ]
    const signs = await Promise.all(asked)
    late.stop()
    return addUp(signs.filter((sign) => sign !== null))
  }

  async #reverse({ scores }: ScreeningFacts, client: string): Promise<Sign | null> {
    if (scores['no-reverse-name'] === 0 && scores['unconfirmed-reverse-name'] === 0) return null
    const { kind } = await reverseNameOf(this.#dns, client)
    const name = reverseSigns[kind]
    return name && { name, score: scores[name] }
  }

  async #helo({ scores }: ScreeningFacts, client: string, helo: string | undefined): Promise<Sign | null> {
    if (helo === undefined) return null
    const found = await heloSigns(this.#dns, { helo, client }, (name) => this.#ours.has(name))
    return worst(found.map((name) => ({ name, score: scores[name] })))
  }
}

async function listSign(list: DnsList, client: string, late: Promise<null>): Promise<Sign | null> {
  const listing = await Promise.race([list.ask(client), late])
  if (listing === null) list.late()
  return listing === 'listed' ? { name: list.slice.zone, score: list.slice.score } : null
}

/** Null when the time is over. */
function lateness(milliseconds: number): { passed: Promise<null>; stop: () => void } {
  let timer: NodeJS.Timeout | undefined
  const passed = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), milliseconds)
  })
  return { passed, stop: () => clearTimeout(timer) }
}
