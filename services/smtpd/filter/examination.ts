/**
 * One message's content on its way through the filters.
 *
 * What fits into a frame (`inline`) goes to one filter after another when it is whole, and each sees what the ones
 * before have made of it. What is larger goes to all of them while it comes in, at most MOST_WAITING octets behind
 * the client, and they see what the client has sent; what they want changed is put together at the end.
 *
 * Fails: never; see `chain.ts`. A header that does not end within what is gathered is not shown to filters: `begin`
 * says so, and the message is refused.
 */
import type { SmtpReply } from '../../../shared/smtp/reply.ts'
import type { Chain } from './chain.ts'
import type { MessageFacts } from './change.ts'
import { Draft, type Revision } from './draft.ts'
import { type Field, readHead } from './header.ts'

const MOST_WAITING = 256 << 10

export interface Examined {
  refusal: SmtpReply | null
  revision: Revision
  /** Null: as it was. */
  head: Buffer | null
  /** Octets that the head takes the place of. */
  headOctets: number
  /** As it came. */
  headBefore: Buffer
  body: Buffer | null
}

export class Examination {
  readonly #chain: Chain
  readonly #facts: MessageFacts
  readonly #recipients: readonly string[]
  readonly #resume: () => void
  #draft: Draft | null = null
  #headBefore: Buffer = Buffer.alloc(0)
  #pieces: Buffer[] = []
  #waiting = 0
  #working: Promise<void> | null = null
  #refusal: SmtpReply | null = null

  /** @param resume there is room for more. */
  constructor(chain: Chain, facts: MessageFacts, recipients: readonly string[], resume: () => void) {
    this.#chain = chain
    this.#facts = facts
    this.#recipients = recipients
    this.#resume = resume
  }

  /** Content that is all here, from its header on. The octets stay as they are until this resolves. */
  async whole(content: Buffer): Promise<Examined> {
    const { id } = this.#facts
    const head = readHead(content, true) ?? NO_HEAD
    const draft = new Draft(head, this.#binary)
    let body = content.subarray(head.octets)
    let refusal = await this.#chain.recipients(this.#facts, this.#recipients)
    refusal ??= await this.#chain.data(this.#facts, this.#recipients)
    for (const link of this.#chain.links) {
      refusal ??= await this.#chain.ask(id, link, (filter) =>
        filter.header(this.#facts, this.#recipients, draft.fields),
      )
      refusal ??= await this.#chain.ask(id, link, (filter) => filter.body(body))
      refusal ??= await this.#chain.conclude(id, link, ({ changes }) => draft.apply(changes))
      body = draft.body ?? body
    }
    return this.#examined(draft, content.subarray(0, head.octets), refusal)
  }

  // --- content that is not all here

  /**
   * @param gathered from the header on.
   * @param named recipients that are in the header and nobody has asked about.
   * False: its header does not end here.
   */
  begin(gathered: Buffer, named: readonly string[]): boolean {
    const head = readHead(gathered, false)
    if (!head) return false
    const { fields, octets } = head
    this.#draft = new Draft(head, this.#binary)
    this.#headBefore = gathered.subarray(0, octets)
    this.#working = this.#introduce(named, fields).then(() => this.#work())
    this.push(gathered.subarray(octets))
    return true
  }

  async #introduce(named: readonly string[], fields: readonly Field[]): Promise<void> {
    const { id } = this.#facts
    const recipients = named.length > 0 ? named : this.#recipients
    this.#refusal = await this.#chain.recipients(this.#facts, recipients)
    this.#refusal ??= await this.#chain.data(this.#facts, recipients)
    this.#refusal ??= await this.#chain.round(id, (filter) => filter.header(this.#facts, recipients, fields))
  }

  get blocked(): boolean {
    return this.#waiting > MOST_WAITING
  }

  /** The octets belong to the filters from now on. */
  push(octets: Buffer): void {
    this.#pieces.push(octets)
    this.#waiting += octets.length
    this.#working ??= this.#work()
  }

  async finish(): Promise<Examined> {
    await this.#working
    const { id } = this.#facts
    const draft = this.#draft ?? new Draft(NO_HEAD, this.#binary)
    let refusal = this.#refusal
    for (const link of this.#chain.links)
      refusal ??= await this.#chain.conclude(id, link, ({ changes }) => draft.apply(changes))
    return this.#examined(draft, this.#headBefore, refusal)
  }

  async #work(): Promise<void> {
    const { id } = this.#facts
    while (this.#pieces.length > 0) {
      const piece = Buffer.concat(this.#pieces)
      this.#pieces = []
      this.#refusal ??= await this.#chain.round(id, (filter) => filter.body(piece))
      const wasBlocked = this.blocked
      this.#waiting -= piece.length
      if (wasBlocked && !this.blocked) this.#resume()
    }
    this.#working = null
  }

  get #binary(): boolean {
    return this.#facts.body === 'binarymime'
  }

  #examined(draft: Draft, headBefore: Buffer, refusal: SmtpReply | null): Examined {
    const revision = draft.revision(this.#chain.discards)
    const headOctets = headBefore.length
    return { refusal, revision, head: draft.head(), headOctets, headBefore, body: draft.body }
  }
}

const NO_HEAD = { fields: [], octets: 0, closed: true }
