/**
 * One client's session at work: events go into the state machine (`session.ts`), and the effects that come out are
 * carried out here: replies, content (`reception.ts`), questions to qmgr and resolver, deadlines, the log.
 *
 * Knows no socket: what has one is behind `Wire` (`connection.ts`), and octets come by way of `input.ts`. Fails:
 * whatever the client does ends in a reply or a close; of a client that vanishes the content is abandoned.
 */
import type { Line } from '../../shared/smtp/line-reader.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { type Framing, planOf } from './content-plan.ts'
import { Enrolment } from './enrolment.ts'
import type { SessionFilters } from './filter/session-filters.ts'
import { identify } from './identity.ts'
import type { Owner } from './input.ts'
import { inquire } from './inquiries.ts'
import { Output } from './output.ts'
import { type Limit, Patience } from './patience.ts'
import type { QueueBus, Submission } from './queue-bus.ts'
import { Reception } from './reception.ts'
import { replies } from './replies.ts'
import { awaitsUs, endsGroup, mayTake, openSession, step } from './session.ts'
import { SessionLog } from './session-log.ts'
import type { Effect, Event, Hello, Phase, Setting, State, Transaction } from './state.ts'
import type { TlsFacts } from './tls-facts.ts'

/** What the session does to its connection. */
export interface Wire {
  /** False: nothing can be said now. */
  write(text: string): boolean
  /** After all that was written. */
  close(): void
  /** The TLS handshake begins; `secured` follows. */
  beginTls(): void
  /** The input may have something that can be gone on with. */
  readOn(): void
  /** What was written waits for the client to read it. */
  readonly congested: boolean
  /** A chunk of input is in hand. */
  readonly stuck: boolean
}

export class Conversation implements Owner {
  readonly log: SessionLog
  readonly #wire: Wire
  readonly #options: ConnectionOptions
  readonly #bus: QueueBus
  readonly #enrolment: Enrolment
  readonly #reception: Reception
  readonly #filters: SessionFilters | null
  readonly #output: Output
  readonly #patience: Patience
  #setting: Setting
  #state: State
  #inputOver = false
  #gone = false
  #delay: NodeJS.Timeout | null = null
  #left: () => void = () => undefined

  /** @param tls where the connection begins with it. */
  constructor(wire: Wire, options: ConnectionOptions, tls: TlsFacts | null, filters: SessionFilters | null) {
    const { bus, commandTimeout, log, patience, setting, tarpit } = options
    this.#wire = wire
    this.#options = options
    this.#setting = setting
    this.#bus = bus
    this.log = new SessionLog(log, setting)
    this.#state = openSession(tls)
    this.#enrolment = new Enrolment(bus, this.log)
    this.#output = new Output(tarpit)
    this.#patience = new Patience(patience, commandTimeout, bus.time)
    this.#filters = filters
    this.#reception = new Reception(
      bus,
      () => wire.readOn(),
      (event) => this.#take(event),
    )
  }

  get setting(): Setting {
    return this.#setting
  }

  get phase(): Phase {
    return this.#state.phase
  }

  begin(): void {
    if (this.#setting.kind !== 'local') return this.#open()
    const { peer, site } = this.#options
    identify(this.#bus, this.#setting, peer, site, (setting) => {
      this.#setting = setting
      if (!this.#gone) this.#open()
    })
  }

  #open(): void {
    this.#enrolment.open(this.#setting, (answer, setting) => {
      this.#setting = setting
      if (!this.#gone) this.feed(answer ? { kind: 'opened', answer } : { kind: 'unavailable' })
    })
  }

  /** Who has logged in counts as that user from then on, not from the first message on. */
  #loginOver(end: Extract<Effect, { kind: 'logged-in' | 'not-logged-in' }>): void {
    this.#options.logins?.over(end)
    this.log.login(end)
    const setting = this.#state.login?.setting
    if (setting && end.kind === 'logged-in')
      this.#enrolment.identify(setting, (reply) => this.feed({ kind: 'drain', reply }))
  }

  /** Who spoke until now is another client: it comes in anew. */
  #assume({ setting, allowed, told }: Extract<Effect, { kind: 'assume' }>): void {
    this.#enrolment.close()
    this.#setting = setting
    this.log.assume(setting, told)
    if (allowed) return this.#open()
    this.#take({ kind: 'opened', answer: { kind: 'refused', reply: { ...replies.clientRefused, host: '' } } })
  }

  readonly feed = (event: Event): void => {
    this.#take(event)
    this.#goOn()
  }

  readonly #goOn = (): void => {
    this.flush()
    this.#wire.readOn()
    if (this.#inputOver) this.ended()
  }

  #take(event: Event): void {
    const before = this.#state
    const { state, effects } = step(this.#setting, before, event, this.#bus)
    this.#state = state
    if (state.phase.at !== before.phase.at) {
      this.log.moved(before.phase.at, state.phase.at)
      this.#patience.entered(state.phase, this.#bus.time)
    }
    for (const effect of effects) this.#carryOut(effect)
  }

  /** The client waits for us, or is made to. */
  get #waitsForUs(): boolean {
    return this.#output.held || this.#reception.blocked || awaitsUs(this.#state.phase)
  }

  /** What the client has taken too long for; asked by the listener's clock. */
  overdue(now: number): Limit | null {
    const { receiving, octets } = this.#reception
    return this.#patience.overdue({ waitsForUs: this.#waitsForUs, receiving, octets }, now)
  }

  /** It has. The socket's own timer does not know who is waited for. */
  tooLate(limit: Limit): void {
    if (limit === 'handshake' || this.#waitsForUs) return
    this.log.overdue(limit, this.#state.phase.at)
    this.feed({ kind: 'timeout', limit })
  }

  /** The client is gone; `left` is called when there is nothing more to be heard of its session. */
  lost(left: () => void): void {
    if (this.#gone) return
    this.#gone = true
    if (this.#delay) clearTimeout(this.#delay)
    this.#output.release()
    this.#reception.drop()
    this.#take({ kind: 'gone' })
    this.#left = left
    // while qmgr is committing, the log still wants to know how it ended
    if (this.#state.phase.at === 'closed') this.#leave()
  }

  #leave(): void {
    this.#filters?.close()
    this.log.closed(this.#state.tls, this.#state.errors)
    this.#enrolment.close()
    this.#left()
  }

  /** TLS has begun. */
  secured(tls: TlsFacts): void {
    this.#patience.answered(this.#bus.time)
    this.feed({ kind: 'secured', tls })
  }

  // --- what the input asks

  get receiving(): boolean {
    return this.#reception.receiving
  }

  get blocked(): boolean {
    return this.#output.held || this.#reception.blocked || this.#wire.congested
  }

  arrived(): void {
    const { at } = this.#state.phase
    if (at === 'connect' || at === 'delay') this.#take({ kind: 'early' })
  }

  mayTake(line: Line): boolean {
    return mayTake(this.#setting, this.#state, line.kind === 'line' ? line.text : '')
  }

  takeLine(line: Line): void {
    this.#take(line)
    if (line.kind === 'line' && endsGroup(line.text)) this.flush()
  }

  takeContent(chunk: Buffer, from: number): number {
    return this.#reception.take(chunk, from)
  }

  idle(): void {
    this.flush()
    if (this.#inputOver) this.ended()
  }

  get inputOver(): boolean {
    return this.#inputOver
  }

  ended(): void {
    this.#inputOver = true
    // the end may be seen before all that came before it could be looked at and answered
    if (!this.#wire.stuck && !this.#output.held && !awaitsUs(this.#state.phase)) this.#wire.close()
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'reply':
        this.log.said(effect.reply)
        return this.#output.add(effect.reply)
      case 'tarpit':
        return this.#output.hold(effect.milliseconds, this.#goOn)
      case 'resolve':
      case 'screen':
      case 'greylist':
      case 'look-up':
        return inquire(effect, this.#bus, this.#state.login?.setting ?? this.#setting, this.feed)
      case 'turn':
        return this.#bus.turn(effect, (recipients) => this.feed({ kind: 'turned', recipients }))
      case 'receive':
        return this.#receive(effect.hello, effect.transaction, effect.framing)
      case 'expect':
      case 'skip':
      case 'hold':
      case 'drop':
        if (effect.kind === 'skip') this.#patience.skips(effect.octets, this.#bus.time)
        return this.#reception.carryOut(effect)
      case 'assume':
        return this.#assume(effect)
      case 'check':
        return this.#reception.check(effect.transaction, this.#bus, this.log, this.feed)
      case 'submit':
        return this.#submit(effect)
      case 'ended':
        this.#filters?.over()
        return this.log.note(effect)
      case 'consult':
      case 'admit':
        return this.#filters?.consult(effect, this.#setting, this.#state, this.feed)
      case 'ruled':
      case 'judged':
      case 'turned-away':
        return this.log.note(effect)
      case 'verify':
        return this.#options.logins?.check(effect.claim, (verdict) =>
          this.feed({ kind: 'verified', verdict }),
        )
      case 'logged-in':
      case 'not-logged-in':
        return this.#loginOver(effect)
      case 'delay':
        this.#delay = setTimeout(() => this.feed({ kind: 'delay-over' }), this.#setting.greetingDelay)
        return
      case 'secure':
        this.flush()
        return this.#wire.beginTls()
      case 'close':
        this.#output.release()
        this.flush()
        return this.#wire.close()
      default:
        return effect satisfies never
    }
  }

  /** Says what has been gathered, at once. */
  flush(): void {
    const text = this.#output.take()
    if (text === '' || !this.#wire.write(text)) return
    if (!this.#reception.receiving) this.#patience.answered(this.#bus.time)
  }

  #receive(hello: Hello, transaction: Transaction, framing: Framing): void {
    const readOn = () => this.#wire.readOn()
    const filters = this.#filters?.examine(hello, transaction, this.#setting, this.#state, readOn) ?? null
    const plan = planOf(this.#options, this.#setting, hello, transaction, this.#state, filters)
    this.#reception.open({ ...plan, framing })
  }

  #submit(asked: Submission): void {
    if (this.#reception.lost) return this.feed({ kind: 'settled', answer: null })
    this.#reception.putOnTop(asked.front)
    this.#bus.submit(asked, this.#reception, (answer) => {
      this.feed({ kind: 'settled', answer })
      if (!this.#gone) return
      this.#take({ kind: 'gone' })
      this.#leave()
    })
    this.#reception.letGo()
  }
}
