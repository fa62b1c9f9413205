/**
 * One milter for one session: the socket, its deadlines and the order of the commands, around the pure
 * `milter-conversation.ts`. The connection is made with the first recipient of a session and kept for all its
 * messages; a milter that was lost is dialled again with the next message, and told all that it should know.
 *
 * A milter that refuses the client or its HELO refuses each recipient of the session, one that refuses the sender
 * each recipient of that message. Fails: FilterTrouble, from a closed, silent or babbling socket; the connection is
 * then gone.
 */
import type { FilterAddress } from '../../../shared/config/filter-slice.ts'
import { CONTINUE, type Filter, FilterTrouble, type Finding, type MessageFacts, type Word } from './change.ts'
import type { Field } from './header.ts'
import { Line } from './line.ts'
import { ABORT, type Command, QUIT, renderNegotiation } from './milter-command.ts'
import { changesOf, hear, type MilterState, openConversation, say } from './milter-conversation.ts'
import { LARGEST_PIECE, type Packet, PacketReader } from './milter-packet.ts'
import { readReply, readTerms } from './milter-reply.ts'

export interface MilterPlan {
  address: FilterAddress
  /** Milliseconds: to connect and agree; for each answer; for the one to the end of the content. */
  connectTimeout: number
  timeout: number
  contentTimeout: number
}

export class Milter implements Filter {
  readonly remembers = true
  readonly #plan: MilterPlan
  #line: Line<Packet> | null = null
  #state: MilterState | null = null
  /** What it said of the client; holds as long as the connection. */
  #ofSession: Word = CONTINUE
  /** What it said of the sender; null: no message is open. */
  #ofMessage: Word | null = null
  #facts: MessageFacts | null = null
  /** Of whom it was told. */
  #client = ''

  constructor(plan: MilterPlan) {
    this.#plan = plan
  }

  recipient(facts: MessageFacts, address: string): Promise<Word> {
    return this.#guard(async () => {
      const before = await this.#begin(facts)
      return before.kind === 'continue' ? this.#say({ kind: 'rcpt', facts, address }) : before
    })
  }

  data(facts: MessageFacts): Promise<Word> {
    return this.#guard(() => this.#say({ kind: 'data', facts }))
  }

  header(facts: MessageFacts, _: readonly string[], fields: readonly Field[]): Promise<Word> {
    return this.#guard(async () => {
      if (this.#ofMessage?.kind !== 'continue') throw new FilterTrouble('it has not seen the recipients')
      this.#facts = facts
      let word: Word = CONTINUE
      for (const field of fields) {
        if (word.kind !== 'continue') return word
        word = await this.#say({ kind: 'field', field })
      }
      return word.kind === 'continue' ? this.#say({ kind: 'end-of-header', facts }) : word
    })
  }

  body(octets: Buffer): Promise<Word> {
    return this.#guard(async () => {
      for (let at = 0; at < octets.length; at += LARGEST_PIECE) {
        const word = await this.#say({ kind: 'body', octets: octets.subarray(at, at + LARGEST_PIECE) })
        if (word.kind !== 'continue') return word
      }
      return CONTINUE
    })
  }

  end(): Promise<Finding> {
    return this.#guard(async () => {
      const facts = this.#facts
      if (!facts) throw new FilterTrouble('there was no header')
      const word = await this.#say({ kind: 'end', facts }, this.#plan.contentTimeout)
      const state = this.#state
      const changes = word.kind === 'refuse' || !state ? [] : changesOf(state)
      this.#ofMessage = null
      return { word, changes }
    })
  }

  over(): void {
    if (this.#ofMessage === null) return
    this.#ofMessage = null
    this.#facts = null
    // an answer that is still owed would pass for that to another command
    if (this.#state?.owed) return this.#lose()
    this.#line?.write(ABORT)
  }

  close(): void {
    this.#line?.write(QUIT)
    this.#lose()
  }

  async #begin(facts: MessageFacts): Promise<Word> {
    // another EHLO, or XCLIENT: what it was told of the client is not so any more
    const client = `${facts.client} ${facts.helo}`
    if (this.#line?.lost || this.#client !== client) this.close()
    this.#client = client
    if (this.#ofMessage && this.#line) return this.#ofMessage
    if (!this.#line) await this.#open(facts)
    this.#ofMessage =
      this.#ofSession.kind === 'continue' ? await this.#say({ kind: 'mail', facts }) : this.#ofSession
    return this.#ofMessage
  }

  async #open(facts: MessageFacts): Promise<void> {
    const { address, connectTimeout } = this.#plan
    const line = await Line.open(address, new PacketReader(), connectTimeout)
    this.#line = line
    line.write(renderNegotiation())
    this.#state = openConversation(readTerms(await line.next(connectTimeout)))
    this.#ofSession = await this.#say({ kind: 'connect', facts })
    if (this.#ofSession.kind === 'continue') this.#ofSession = await this.#say({ kind: 'helo', facts })
  }

  async #say(command: Command, patience = this.#plan.timeout): Promise<Word> {
    const [line, state] = [this.#line, this.#state]
    if (!line || !state) throw new FilterTrouble('the connection is gone')
    const said = say(state, command)
    this.#state = said.state
    for (const packet of said.packets) line.write(packet)
    if (said.packets.length > 0 && !said.waits) await line.drained(patience)
    return said.waits ? this.#hear(line, patience) : CONTINUE
  }

  async #hear(line: Line<Packet>, patience: number): Promise<Word> {
    for (;;) {
      const answer = readReply(await line.next(patience))
      if (!this.#state) throw new FilterTrouble('the connection is gone')
      const { state, word } = hear(this.#state, answer)
      this.#state = state
      if (word) return word
    }
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      this.#lose()
      throw error instanceof FilterTrouble ? error : new FilterTrouble(String(error))
    }
  }

  #lose(): void {
    this.#line?.close()
    this.#line = null
    this.#state = null
    this.#ofMessage = null
    this.#ofSession = CONTINUE
  }
}
