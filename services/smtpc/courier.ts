/**
 * The desk where qmgr's requests arrive: keeps the attempts in hand, hands them their content, logs each one.
 *
 * When qmgr is lost, nobody waits for the outcomes: attempts whose dot is not out yet are stopped, so that the
 * qmgr that comes back, which will ask again, causes as few duplicates as can be. While draining, what arrives
 * is answered `later` by our own fault and costs the destination nothing.
 */
import { formatId } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import type { Payload } from '../../shared/bus/messages.ts'
import type { Handlers } from '../../shared/bus/peer.ts'
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import { Attempt, type Report } from './attempt.ts'
import { asBuffer, type Content, ContentStream } from './content.ts'
import { Pool } from './pool.ts'
import { SessionCounts } from './session-counts.ts'

const DRAINING = own(451, '4.3.2', 'the client process is shutting down')
const CANCELLED = own(451, '4.3.0', 'the attempt was cancelled')
const ORPHANED = own(451, '4.3.0', 'the queue manager was lost')
const NOT_OURS = own(451, '4.3.5', 'a route that is not for SMTP')

/** What qmgr is told while an attempt runs. */
export interface Tell {
  credit: (credit: Payload<'content-credit'>) => void
  dial: (progress: Payload<'deliver-dial'>) => void
  counts: (counts: Payload<'tls-counts'>) => void
}

export class Courier {
  readonly handlers: Handlers
  readonly #pool: Pool
  readonly #log: Log
  readonly #tell: Tell
  readonly #attempts = new Map<number, Attempt>()
  #draining = false
  #whenEmpty: (() => void) | null = null
  #count = { attempts: 0, sent: 0, later: 0, never: 0, inDoubt: 0 }

  constructor(slice: SmtpcSlice, log: Log, tell: Tell) {
    this.#pool = new Pool(slice, new SessionCounts((counts) => tell.counts({ counts })))
    this.#log = log
    this.#tell = tell
    this.handlers = {
      deliver: (delivery) => this.#deliver(delivery),
      'deliver-cancel': ({ attempt }) => this.#attempts.get(attempt)?.cancel(CANCELLED),
      'content-chunk': (chunk) => this.#chunk(chunk),
    }
  }

  reconfigure(slice: SmtpcSlice): void {
    this.#pool.slice = slice
  }

  /** qmgr is gone. */
  orphan(): void {
    for (const attempt of [...this.#attempts.values()]) attempt.cancel(ORPHANED)
  }

  /** Resolves when the attempts in hand are over; idle connections have been told QUIT. */
  drain(): Promise<void> {
    this.#draining = true
    this.#pool.drain()
    const flush = () => this.#pool.counts.flush()
    if (this.#attempts.size === 0) return Promise.resolve().then(flush)
    return new Promise<void>((resolve) => {
      this.#whenEmpty = resolve
    }).then(flush)
  }

  figures(): Record<string, number> {
    const { size, idle } = this.#pool
    return { connections: size, idle, inHand: this.#attempts.size, ...this.#count }
  }

  #deliver(delivery: Payload<'deliver'>): Report | Promise<Report> {
    const { route } = delivery
    if (route.kind !== 'smtp') return refuse(delivery, NOT_OURS)
    if (this.#draining || delivery.recipients.length === 0) return refuse(delivery, DRAINING)
    return new Promise((resolve) => {
      const begun = Date.now()
      const attempt = new Attempt(delivery, route, this.#contentOf(delivery), this.#pool, {
        report: (report) => {
          this.#finished(delivery, report, attempt.policy, Date.now() - begun)
          resolve(report)
        },
        dial: this.#tell.dial,
      })
      this.#attempts.set(delivery.attempt, attempt)
      attempt.start()
    })
  }

  #contentOf(delivery: Payload<'deliver'>): Content {
    if (delivery.content) return asBuffer(delivery.content)
    return new ContentStream((octets) => this.#tell.credit({ stream: delivery.attempt, octets }))
  }

  #chunk({ stream, data, last }: Payload<'content-chunk'>): void {
    const content = this.#attempts.get(stream)?.content // none: it was settled while this was under way
    if (content instanceof ContentStream) content.push(data, last === true)
  }

  #finished(delivery: Payload<'deliver'>, report: Report, policy: string, took: number): void {
    this.#attempts.delete(delivery.attempt)
    this.#note(delivery, report, policy, took)
    if (this.#attempts.size === 0) this.#whenEmpty?.()
  }

  #note(delivery: Payload<'deliver'>, report: Report, policy: string, took: number): void {
    const tally = { sent: 0, later: 0, never: 0, inDoubt: 0 }
    for (const { outcome } of report.outcomes) {
      tally[outcome.kind]++
      if (outcome.kind === 'later' && outcome.inDoubt) tally.inDoubt++
    }
    this.#count.attempts++
    this.#count.sent += tally.sent
    this.#count.later += tally.later
    this.#count.never += tally.never
    this.#count.inDoubt += tally.inDoubt
    const facts = {
      message: formatId('T', delivery.message),
      attempt: formatId('A', delivery.attempt),
      host: report.host,
      address: report.address,
      tls: report.tls,
      policy,
      ...tally,
      reply: printReply(report.outcomes[report.outcomes.length - 1]?.outcome),
      took,
    }
    if (tally.inDoubt > 0) this.#log.warn(facts, 'attempt in doubt')
    else this.#log.info(facts, 'attempt')
  }
}

function refuse(delivery: Payload<'deliver'>, reply: Reply): Report {
  const outcome: Outcome = { kind: 'later', reply, blame: 'ours' }
  const outcomes = delivery.recipients.map(({ n }) => ({ n, outcome }))
  return { outcomes, host: '', address: '', tls: '' }
}

function printReply(outcome: Outcome | undefined): string {
  if (!outcome) return ''
  const { code, enhanced, text } = outcome.reply
  return enhanced ? `${code} ${enhanced} ${text}` : `${code} ${text}`
}
