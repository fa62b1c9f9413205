/**
 * Counts what DMARC has found, for the reports that the resolver sends (RFC 9990): messages of which everything is
 * the same are one count, and counts leave together, every FLUSH_MS or when there are MOST of them.
 *
 * Off unless `reports` says `send yes`; then `counts` costs one look at a map for each message. What has not left when
 * smtpd dies, or when the resolver is away, is lost: these are statistics.
 */
import type { Payload } from '../../../shared/bus/messages.ts'
import type { Checked } from './authenticate.ts'
import type { Results } from './results.ts'
import { identityOf, type Origin } from './watch.ts'

type Count = Payload<'dmarc-counts'>['counts'][number]

const FLUSH_MS = 5000
const MOST = 500
const LONGEST_RECORD = 1024
const MOST_SIGNATURES = 20

export class Tally {
  readonly #send: (counts: Count[]) => void
  readonly #counts = new Map<string, Count>()
  #timer: NodeJS.Timeout | null = null
  isOn = false

  constructor(send: (counts: Count[]) => void) {
    this.#send = send
  }

  count(origin: Origin, results: Results, fate: Pick<Checked, 'refusal' | 'hold'>): void {
    const one = this.isOn ? countOf(origin, results, fate) : null
    if (!one) return
    const key = JSON.stringify(one)
    const known = this.#counts.get(key)
    if (known) known.count++
    else this.#counts.set(key, one)
    this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref()
    if (this.#counts.size >= MOST) this.flush()
  }

  flush(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    const counts = [...this.#counts.values()]
    this.#counts.clear()
    if (counts.length > 0) this.#send(counts)
  }
}

/** Null: the domain wants no reports, or DNS did not say all. */
export function countOf(
  origin: Origin,
  { spf, dkim, dmarc, arc }: Results,
  { refusal, hold }: Pick<Checked, 'refusal' | 'hold'>,
): Count | null {
  const { published, result, policy } = dmarc
  if (!published || (result !== 'pass' && result !== 'fail')) return null
  const disposition = refusal ? 'reject' : hold ? 'quarantine' : 'none'
  const differs = result === 'fail' && disposition !== policy
  const { identity, value } = identityOf(origin)
  return {
    domain: published.domain,
    record: published.record.slice(0, LONGEST_RECORD),
    source: origin.client,
    disposition,
    reason: !differs ? '' : arc?.trusted === true ? 'trusted_forwarder' : 'local_policy',
    dkim: published.dkim ? 'pass' : 'fail',
    spf: published.spf ? 'pass' : 'fail',
    author: dmarc.from,
    envelope: identity === 'mailfrom' ? value : '',
    spfScope: identity === 'mailfrom' ? 'mfrom' : 'helo',
    spfDomain: value,
    spfResult: spf.result,
    signatures: dkim
      .slice(0, MOST_SIGNATURES)
      .map(({ domain, selector, result: said }) => ({ domain, selector, result: said })),
    count: 1,
  }
}
