/**
 * In which order the name servers are asked: as configured, but one that said nothing of late comes last for a while,
 * twice as long each time, so that a dead server does not cost its time-out with each question. Pure.
 *
 * Nobody is left out: when all of them rest, all are asked.
 */
import type { Server } from './exchange.ts'

const FIRST_REST_MS = 5000
const LONGEST_REST_MS = 160_000

interface Rest {
  until: number
  /** Milliseconds of this one. */
  length: number
}

export class Ranking {
  readonly #resting = new Map<string, Rest>()

  /** @param now milliseconds of a clock that does not jump. */
  order(servers: readonly Server[], now: number): readonly Server[] {
    if (this.#resting.size === 0 || servers.length === 1) return servers
    const rests = (server: Server) => (this.#resting.get(keyOf(server))?.until ?? 0) > now
    return [...servers.filter((one) => !rests(one)), ...servers.filter(rests)]
  }

  answered(server: Server): void {
    if (this.#resting.size > 0) this.#resting.delete(keyOf(server))
  }

  /** Questions that were asked together and fail together count once. */
  failed(server: Server, now: number): void {
    const before = this.#resting.get(keyOf(server))
    if (before && before.until > now) return
    const length = Math.min(before ? before.length * 2 : FIRST_REST_MS, LONGEST_REST_MS)
    this.#resting.set(keyOf(server), { until: now + length, length })
  }
}

function keyOf({ address, port }: Server): string {
  return `${address} ${port}`
}

/**
 * Milliseconds for one try: twice as long each round, shared by the servers from the second round on, so that the
 * whole does not outgrow the patience of who asks (as in the C library).
 */
export function patienceIn(round: number, timeout: number, servers: number): number {
  return round === 0 ? timeout : Math.max(timeout, (timeout * 2 ** round) / servers)
}
