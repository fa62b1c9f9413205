/**
 * One DNS list of addresses, asked about a client (RFC 5782): listed or not, or nobody knows.
 *
 * A list that has not answered MOST_FAILURES times running is left alone for REST_MS, so that a dead one does not
 * hold up every client for the whole `timeout`; the log says so. An answer outside the list's `reply` ranges is no
 * listing: 127.255.255.x says that the list does not want our questions, which is warned of.
 */
import type { Log } from '../../shared/base/log.ts'
import type { DnsListSlice } from '../../shared/config/slices.ts'
import { turnedRound } from './client-address.ts'
import type { Answer } from './dns/answer.ts'
import type { Lookups } from './host-addresses.ts'

export type Listing = 'listed' | 'not-listed' | 'unknown'

const MOST_FAILURES = 5
const REST_MS = 60_000

export interface DnsListOptions {
  list: DnsListSlice
  dns: Lookups
  log: Log
  /** Milliseconds of a clock that does not jump. */
  now: () => number
}

export class DnsList {
  readonly #options: DnsListOptions
  #failures = 0
  #restsUntil = 0
  #hasWarned = false

  constructor(options: DnsListOptions) {
    this.#options = options
  }

  get slice(): DnsListSlice {
    return this.#options.list
  }

  async ask(client: string): Promise<Listing> {
    const { dns, list, now } = this.#options
    const turned = turnedRound(client)
    if (turned === null || now() < this.#restsUntil) return 'unknown'
    return this.#read(await dns.lookup(`${turned}.${list.zone}`, 'A'))
  }

  /** It did not answer in the time that there was. */
  late(): void {
    this.#fail('no answer in time')
  }

  #read(answer: Answer): Listing {
    if (answer.kind === 'failed') {
      this.#fail(answer.why)
      return 'unknown'
    }
    this.#failures = 0
    const addresses = answersIn(answer)
    if (addresses.some((address) => matches(this.slice, address))) return 'listed'
    if (addresses.some((address) => address.startsWith('127.255.255.'))) this.#warn(addresses)
    return 'not-listed'
  }

  #fail(why: string): void {
    const { list, log, now } = this.#options
    if (now() < this.#restsUntil || ++this.#failures < MOST_FAILURES) return
    this.#failures = 0
    this.#restsUntil = now() + REST_MS
    log.warn(
      { list: list.zone, why, seconds: REST_MS / 1000 },
      'dns list does not answer, left alone for now',
    )
  }

  #warn(answers: readonly string[]): void {
    if (this.#hasWarned) return
    this.#hasWarned = true
    const { list, log } = this.#options
    log.warn({ list: list.zone, answers }, 'dns list does not want our questions')
  }
}

function answersIn(answer: Answer): string[] {
  if (answer.kind !== 'records') return []
  return answer.records.flatMap((record) => (record.kind === 'address' ? [record.address] : []))
}

export function matches({ replies }: Pick<DnsListSlice, 'replies'>, address: string): boolean {
  const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  return replies.some(({ from, to }) => from <= number && number <= to)
}
