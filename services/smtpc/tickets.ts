/**
 * TLS sessions to be resumed, so that the next connection to a host need not verify again: by host and by all that the
 * first one was held against, so that what was proven is exactly what is wanted now. Each is used once (RFC 8446
 * appendix C.4), kept for LONGEST_MS at most, and never longer than this process lives. Pure, but for what it remembers.
 *
 * Limits: MOST_KEYS hosts and policies, the one used longest ago goes first; MOST_EACH sessions each.
 */
import type { Good } from './judgement.ts'

export interface Ticket {
  session: Buffer
  /** What was said of the session it comes from. */
  verdict: Good
  /** Milliseconds since 1970: of the handshake in which the certificate was looked at. */
  provenAt: number
}

const LONGEST_MS = 3_600_000
const MOST_KEYS = 2000
const MOST_EACH = 4

export class Tickets {
  readonly #kept = new Map<string, Ticket[]>()

  keep(key: string, ticket: Ticket): void {
    const list = this.#kept.get(key) ?? []
    this.#kept.delete(key)
    list.push(ticket)
    if (list.length > MOST_EACH) list.shift()
    this.#kept.set(key, list)
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST_KEYS) break
      this.#kept.delete(oldest)
    }
  }

  /** The newest; it is gone then. */
  take(key: string, now: number): Ticket | null {
    const list = this.#kept.get(key)
    const found = list?.pop()
    if (list?.length === 0) this.#kept.delete(key)
    if (!found) return null
    if (found.provenAt + LONGEST_MS > now) return found
    this.#kept.delete(key) // those before it are older
    return null
  }
}
