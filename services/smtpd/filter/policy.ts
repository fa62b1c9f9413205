/**
 * A policy server for one session: asked at the stages that the config names, over connections that are shared
 * (`policy-pool.ts`). What it wants done to the message is kept until the end of the content.
 *
 * At RCPT its word is about one recipient, later about the message. A field that it has for several recipients goes
 * in once. Fails: FilterTrouble from a server that cannot be reached, is late or talks nonsense.
 */
import type { Log } from '../../../shared/base/log.ts'
import type { PolicyStage } from '../../../shared/config/filter-slice.ts'
import {
  type Change,
  CONTINUE,
  type Filter,
  FilterTrouble,
  type Finding,
  type MessageFacts,
  type Word,
} from './change.ts'
import type { Field } from './header.ts'
import { readAction } from './policy-answer.ts'
import type { PolicyPool } from './policy-pool.ts'
import { renderQuestion } from './policy-request.ts'

/** Nobody wants more of one message. */
const MOST_CHANGES = 2000

export interface PolicyPlan {
  name: string
  stages: readonly PolicyStage[]
}

export class Policy implements Filter {
  readonly remembers = false
  readonly #plan: PolicyPlan
  readonly #pool: PolicyPool
  readonly #log: Log
  readonly #changes = new Map<string, Change>()
  #redirect: string | null = null
  #facts: MessageFacts | null = null
  #recipients: readonly string[] = []
  #octets = 0

  constructor(plan: PolicyPlan, pool: PolicyPool, log: Log) {
    this.#plan = plan
    this.#pool = pool
    this.#log = log
  }

  recipient(facts: MessageFacts, address: string): Promise<Word> {
    return this.#ask('rcpt', facts, [address])
  }

  async data(facts: MessageFacts, recipients: readonly string[]): Promise<Word> {
    return single(await this.#ask('data', facts, recipients))
  }

  header(facts: MessageFacts, recipients: readonly string[], fields: readonly Field[]): Promise<Word> {
    this.#facts = facts
    this.#recipients = recipients
    this.#octets = fields.reduce((sum, { raw }) => sum + raw.length + 2, 2)
    return Promise.resolve(CONTINUE)
  }

  body(octets: Buffer): Promise<Word> {
    this.#octets += octets.length
    return Promise.resolve(CONTINUE)
  }

  async end(): Promise<Finding> {
    const facts = this.#facts
    if (!facts) throw new FilterTrouble('there was no header')
    const word = single(await this.#ask('end-of-message', facts, this.#recipients, this.#octets))
    return { word, changes: [...this.#changes.values(), ...this.#redirection()] }
  }

  over(): void {
    this.#changes.clear()
    this.#redirect = null
    this.#facts = null
    this.#recipients = []
    this.#octets = 0
  }

  close(): void {
    this.over()
  }

  async #ask(
    stage: PolicyStage,
    facts: MessageFacts,
    recipients: readonly string[],
    size?: number,
  ): Promise<Word> {
    if (!this.#plan.stages.includes(stage)) return CONTINUE
    const question = renderQuestion({ stage, facts, recipients, ...(size !== undefined && { size }) })
    const { word, change, redirect, note } = readAction(await this.#pool.ask(question))
    if (redirect !== undefined) this.#redirect = redirect
    if (change) this.#remember(change)
    if (note) {
      const { name } = this.#plan
      this.#log[note.odd ? 'warn' : 'info'](
        { filter: name, message: facts.id, text: note.text },
        'filter says',
      )
    }
    return word
  }

  #remember(change: Change): void {
    if (this.#changes.size >= MOST_CHANGES) throw new FilterTrouble('too many changes')
    this.#changes.set(JSON.stringify(change), change)
  }

  #redirection(): Change[] {
    const address = this.#redirect
    if (address === null) return []
    const removed = this.#recipients.map((one): Change => ({ kind: 'remove-recipient', address: one }))
    return [...removed, { kind: 'add-recipient', address, parameters: '' }]
  }
}

/** Behind RCPT there is nobody else whose word it could depend on. */
function single(word: Word): Word {
  if (word.kind === 'defer') return { kind: 'refuse', reply: word.reply }
  return word.kind === 'soften' ? CONTINUE : word
}
