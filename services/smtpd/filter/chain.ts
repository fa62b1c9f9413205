/**
 * The filters of one session, asked in order, and the rule that says what a dead one means: the message goes on
 * without it (`accept`), comes back later (`tempfail`) or never (`reject`). A word that refuses ends the round; who
 * has accepted is not asked about this message again; what one discards nobody else is asked about.
 *
 * Fails: never; trouble becomes a word here and a line in the log.
 */
import type { Log } from '../../../shared/base/log.ts'
import type { SmtpReply } from '../../../shared/smtp/reply.ts'
import { replies } from '../replies.ts'
import type { Filter, Finding, MessageFacts, Word } from './change.ts'

export type FailureRule = 'accept' | 'tempfail' | 'reject'

export interface Link {
  name: string
  onFailure: FailureRule
  filter: Filter
}

const lost: Readonly<Record<Exclude<FailureRule, 'accept'>, SmtpReply>> = {
  tempfail: replies.filterLost,
  reject: replies.filterMissing,
}

export class Chain {
  readonly links: readonly Link[]
  readonly #log: Log
  /** Those that have said all they have to say of this message. */
  readonly #done = new Set<Link>()
  #message: string | null = null
  /** DATA was asked about. */
  #begun = false
  readonly #asked = new Set<string>()
  /** Questions are asked one after another. */
  #queue: Promise<unknown> = Promise.resolve()
  discards = false

  constructor(links: readonly Link[], log: Log) {
    this.links = links
    this.#log = log
  }

  /** Null: it may be accepted. */
  recipient(facts: MessageFacts, address: string): Promise<SmtpReply | null> {
    const asked = this.#queue.then(async () => {
      if (this.#message !== facts.id) this.over()
      this.#message = facts.id
      this.#asked.add(address)
      return this.#recipient(facts, address)
    })
    this.#queue = asked
    return asked
  }

  async #recipient(facts: MessageFacts, address: string): Promise<SmtpReply | null> {
    let deferred: SmtpReply | null = null
    let softer: SmtpReply | null = null
    for (const link of this.links) {
      if (deferred && link.filter.remembers) continue
      const word = await this.#word(facts.id, link, (filter) => filter.recipient(facts, address))
      if (word?.kind === 'refuse') return word.reply.code >= 500 ? (softer ?? word.reply) : word.reply
      if (word?.kind === 'defer') deferred ??= word.reply
      if (word?.kind === 'soften') softer ??= word.reply
    }
    return deferred
  }

  /** Before the content is let in, or with its header where nobody was known before; once for each message. */
  data(facts: MessageFacts, recipients: readonly string[]): Promise<SmtpReply | null> {
    const asked = this.#queue.then(() => {
      if (this.#begun || facts.id !== this.#message) return null
      this.#begun = true
      return this.round(facts.id, (filter) => filter.data(facts, recipients))
    })
    this.#queue = asked
    return asked
  }

  /** Those that the header has named; about the others they were asked already. */
  async recipients(facts: MessageFacts, addresses: readonly string[]): Promise<SmtpReply | null> {
    for (const address of addresses) {
      const known = this.#message === facts.id && this.#asked.has(address)
      const refusal = known ? null : await this.recipient(facts, address)
      if (refusal) return refusal
    }
    return null
  }

  /** One question to each in turn; the first refusal ends it. A message that is over has no answers any more. */
  async round(message: string, question: (filter: Filter) => Promise<Word>): Promise<SmtpReply | null> {
    for (const link of this.links) {
      const refusal = await this.ask(message, link, question)
      if (refusal) return refusal
    }
    return null
  }

  async ask(
    message: string,
    link: Link,
    question: (filter: Filter) => Promise<Word>,
  ): Promise<SmtpReply | null> {
    const word = await this.#word(message, link, question)
    return word?.kind === 'refuse' || word?.kind === 'defer' ? word.reply : null
  }

  /** Null: it has nothing to say, or nobody cares any more. */
  async #word(
    message: string,
    link: Link,
    question: (filter: Filter) => Promise<Word>,
  ): Promise<Word | null> {
    if (message !== this.#message || this.discards || this.#done.has(link)) return null
    try {
      const word = await question(link.filter)
      if (message !== this.#message) return null
      this.#note(link, word)
      return word
    } catch (error) {
      return message === this.#message ? this.#failed(link, error) : null
    }
  }

  /** The last question; what it wants changed goes to `apply`. */
  async conclude(message: string, link: Link, apply: (finding: Finding) => void): Promise<SmtpReply | null> {
    return this.ask(message, link, async (filter) => {
      const finding = await filter.end()
      if (finding.word.kind !== 'refuse' && finding.word.kind !== 'defer') apply(finding)
      return finding.word
    })
  }

  /** The message is over, however that came. */
  over(): void {
    this.#message = null
    this.#begun = false
    this.discards = false
    this.#done.clear()
    this.#asked.clear()
    for (const { filter } of this.links) filter.over()
  }

  close(): void {
    this.#message = null
    for (const { filter } of this.links) filter.close()
  }

  #note(link: Link, { kind }: Word): void {
    if (kind === 'accept') this.#done.add(link)
    if (kind === 'discard') this.discards = true
  }

  #failed(link: Link, error: unknown): Word | null {
    const { name, onFailure } = link
    const why = error instanceof Error ? error.message : String(error)
    this.#log.warn({ filter: name, message: this.#message, why, onFailure }, 'filter failed')
    if (onFailure !== 'accept') return { kind: 'refuse', reply: lost[onFailure] }
    this.#done.add(link)
    return null
  }
}
