/**
 * The MTA-STS policy of each domain that mail goes to (RFC 8461): asked for with every look-up of its exchangers,
 * fetched when the id in DNS is a new one, kept until it expires, whatever becomes of DNS and the web server meanwhile
 * (section 5.1), fetched anew once a day so that one in use does not expire (section 10.2).
 *
 * Fails: never. A fetch that fails, or takes longer than PATIENCE_MS, leaves what is known; where that is nothing mail
 * goes as without, and the fetch, which runs on, is for the next time. After a failure none is begun for RETRY_MS.
 * Limit: MOST_FETCHES at a time, so that no number of dead web servers holds up other domains.
 */
import type { Log } from '../../../shared/base/log.ts'
import type { Sts } from '../../../shared/message/route.ts'
import type { Answer } from '../dns/answer.ts'
import type { Lookups } from '../host-addresses.ts'
import { readPolicy, readRecord } from './policy.ts'
import type { Stored, StsStore } from './store.ts'

const PATIENCE_MS = 10_000
const RETRY_MS = 300_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const MOST_FETCHES = 100
const MOST_FAILURES = 10_000
/** Seconds; where something went wrong it is looked at again soon. */
const TROUBLED_TTL = 60

export interface StsOptions {
  dns: Lookups
  store: Pick<StsStore, 'get' | 'put' | 'all'>
  /** Rejects with the reason. */
  fetch: (domain: string, signal: AbortSignal) => Promise<string>
  log: Log
  /** Milliseconds since 1970. */
  now: () => number
}

export interface FoundSts {
  sts: Sts | null
  /** Seconds. */
  ttl: number
}

export class StsPolicies {
  readonly #options: StsOptions
  readonly #fetches = new Map<string, Promise<void>>()
  readonly #failedAt = new Map<string, number>()
  readonly #closing = new AbortController()
  readonly #timer: NodeJS.Timeout

  constructor(options: StsOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.refresh(), HOUR_MS)
    this.#timer.unref()
  }

  async of(domain: string): Promise<FoundSts> {
    const { dns, store, now } = this.#options
    const answer = await dns.lookup(`_mta-sts.${domain}`, 'TXT')
    const id = readRecord(textsIn(answer))
    const known = store.get(domain, now())
    const ttl = answer.kind === 'failed' ? TROUBLED_TTL : answer.ttl
    if (id === null || known?.id === id) return { sts: stsOf(domain, known), ttl }
    await this.#fetchInTime(domain, id)
    const found = store.get(domain, now())
    return { sts: stsOf(domain, found), ttl: found?.id === id ? ttl : Math.min(ttl, TROUBLED_TTL) }
  }

  /** Those that are older than a day. */
  refresh(): void {
    const { now, store } = this.#options
    for (const [domain, { fetchedAt, id }] of store.all())
      if (fetchedAt + DAY_MS < now()) void this.#fetch(domain, id)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#closing.abort(new Error('closing'))
  }

  async #fetchInTime(domain: string, id: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS)
    })
    await Promise.race([this.#fetch(domain, id), patience])
    clearTimeout(timer)
  }

  #fetch(domain: string, id: string): Promise<void> {
    const running = this.#fetches.get(domain)
    if (running) return running
    const failedAt = this.#failedAt.get(domain) ?? Number.NEGATIVE_INFINITY
    if (failedAt + RETRY_MS > this.#options.now() || this.#fetches.size >= MOST_FETCHES)
      return Promise.resolve()
    const fetching = this.#fetchNow(domain, id).finally(() => this.#fetches.delete(domain))
    this.#fetches.set(domain, fetching)
    return fetching
  }

  async #fetchNow(domain: string, id: string): Promise<void> {
    const { fetch, log, now, store } = this.#options
    try {
      const policy = readPolicy(await fetch(domain, this.#closing.signal), id)
      if (!policy) throw new Error('it is no policy')
      store.put(domain, { ...policy, fetchedAt: now() })
      this.#failedAt.delete(domain)
      log.info({ domain, mode: policy.mode, id }, 'MTA-STS policy fetched')
    } catch (error) {
      if (this.#closing.signal.aborted) return
      if (this.#failedAt.size >= MOST_FAILURES) this.#failedAt.clear()
      this.#failedAt.set(domain, now())
      log.warn({ domain, error: String(error) }, 'MTA-STS policy cannot be fetched')
    }
  }
}

function textsIn(answer: Answer): string[] {
  if (answer.kind !== 'records') return []
  return answer.records.flatMap((record) => (record.kind === 'txt' ? [record.text] : []))
}

function stsOf(domain: string, stored: Stored | null): Sts | null {
  if (!stored || stored.mode === 'none') return null
  return { mode: stored.mode, domain, mx: stored.mx }
}
