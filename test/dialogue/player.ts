/**
 * A session without a socket: the real input, state machine and content, between octets on one side and answers
 * that are given in memory on the other. What the shell does, in few lines and at once.
 */

import { compileAccess } from '../../services/smtpd/access.ts'
import { whyNotAdmitted } from '../../services/smtpd/admission.ts'
import { longestLine } from '../../services/smtpd/auth.ts'
import type { Questions } from '../../services/smtpd/authentication/authenticate.ts'
import { planOf } from '../../services/smtpd/content-plan.ts'
import { asCaller } from '../../services/smtpd/identity.ts'
import { Input, type Owner } from '../../services/smtpd/input.ts'
import { inquire } from '../../services/smtpd/inquiries.ts'
import { MapAnswers } from '../../services/smtpd/map-answers.ts'
import type { QueueBus } from '../../services/smtpd/queue-bus.ts'
import { Reception } from '../../services/smtpd/reception.ts'
import type { Claim, Verdict } from '../../services/smtpd/sasl-step.ts'
import { SenderLogins } from '../../services/smtpd/sender-logins.ts'
import { awaitsUs, mayTake, openSession, step } from '../../services/smtpd/session.ts'
import { matchesOf, settingFor, starttlsOf } from '../../services/smtpd/setting.ts'
import type { Sign } from '../../services/smtpd/signing/signer.ts'
import type {
  AuthSetting,
  Effect,
  Event,
  Intake,
  Moment,
  Setting,
  State,
  Transaction,
} from '../../services/smtpd/state.ts'
import { silentLog } from '../../shared/base/log.ts'
import type { PolicySlice } from '../../shared/config/policy-slice.ts'
import { emptyBook } from '../../shared/config/rule-book.ts'
import type { ListenerSlice } from '../../shared/config/slices.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { Line } from '../../shared/smtp/line-reader.ts'
import { renderReply } from '../../shared/smtp/reply.ts'
import { listenerSlice, type PlainAnswers, stageSite, usualAnswers } from '../system/smtpd-stage.ts'

export interface Received {
  envelope: Envelope
  content: Buffer
}

/** What is around the session, beside its listener. */
export interface Surroundings {
  setting?: Partial<Setting>
  answers?: Partial<PlainAnswers>
  policies?: PolicySlice[]
  intake?: Intake
  full?: readonly string[]
}

export function settingOf(slice: ListenerSlice, change: Partial<Setting> = {}): Setting {
  const ground = {
    slice,
    matches: matchesOf(slice),
    rules: emptyBook,
    signs: slice.sign ? (['relaxed'] as const) : [],
    access: compileAccess(slice.access),
    ...({
      hostname: 'mx.example.org',
      qualifyDomain: 'example.org',
      session: 'S1',
    } as const),
    starttls: starttlsOf(slice.tls.mode, slice.tls.context !== null),
    auth: slice.auth && authSettingOf(slice.auth, slice.senderLogin),
  }
  return { ...settingFor(ground, '127.0.0.1', undefined), ...change }
}

/** The stage's users: see `passwords` there. */
function authSettingOf(
  { required, withoutTls }: NonNullable<ListenerSlice['auth']>,
  senderLogin: ListenerSlice['senderLogin'],
): AuthSetting {
  return {
    required,
    withoutTls,
    mechanisms: () => ['PLAIN', 'LOGIN'],
    relays: () => false,
    maySend:
      senderLogin?.kind === 'file' ? new SenderLogins(senderLogin.path, silentLog).maySend : () => true,
    asUser: (setting) => setting,
  }
}

/** Nobody here can read a key. */
const keyless: Sign = async () => ({ kind: 'failed' })

function judge(claim: Claim): Verdict {
  const right = claim.kind === 'password' && claim.login === 'anna' && claim.password === 'secret'
  return right ? { kind: 'true', login: 'anna' } : { kind: 'false' }
}

export class Player implements Owner {
  state: State
  output = ''
  closed = false
  readonly messages: Received[] = []
  intake: Intake
  readonly #full: ReadonlySet<string>
  readonly #says: PlainAnswers
  /** Answers that come when their time has come. */
  #awaited = 0
  #setting: Setting
  readonly #slice: ListenerSlice
  #input = new Input()
  readonly #reception: Reception
  #streamed: Buffer[] = []
  #ids = 1
  #answers: Event[] = []
  readonly #maps = new MapAnswers(Date.now)

  constructor(change: Partial<ListenerSlice> = {}, around: Surroundings = {}) {
    const slice = listenerSlice(change)
    this.#slice = slice
    this.intake = around.intake ?? { state: 'go', reason: '', storage: false }
    this.#full = new Set(around.full)
    this.#says = { ...usualAnswers(), ...around.answers }
    this.#setting = this.#callerSetting(settingOf(slice, around.setting), around.policies ?? [])
    this.state = openSession(null)
    this.#input.attach(this, longestLine(this.#setting))
    const streams = {
      chunk: (_: number, data: Uint8Array) => void this.#streamed.push(Buffer.from(data)),
      abort: () => undefined,
      openStream: () => undefined,
      closeStream: () => undefined,
    }
    this.#reception = new Reception(
      streams,
      () => this.#input.resume(),
      (event) => this.#take(event),
    )
    this.#connect()
  }

  #callerSetting(setting: Setting, policies: PolicySlice[]): Setting {
    if (this.#slice.endpoint.kind !== 'unix') return setting
    const answer = this.#ask('caller', { uid: 1000, gid: 1000 })
    return asCaller({ ...setting, uid: 1000 }, 1000, answer, { ...stageSite, policies }, -1)
  }

  #connect(): void {
    const door = {
      slice: this.#slice,
      matches: matchesOf(this.#slice),
      access: compileAccess(this.#slice.access),
    }
    const barred = whyNotAdmitted(door, this.#setting.client, 0)
    if (barred) return this.#end(renderReply(barred.reply))
    const { session, listener, client } = this.#setting
    const answer = this.#ask('session-open', { session, listener, client })
    const { naming } = this.#setting
    if (answer?.kind === 'go' && naming) {
      const { setting, barred } = naming(this.#ask('name-client', { client }) ?? { kind: 'later' })
      this.#setting = setting
      if (barred) return this.#end(renderReply(barred.reply))
    }
    this.feed(answer ? { kind: 'opened', answer } : { kind: 'unavailable' })
  }

  #end(text: string): void {
    this.output += text
    this.closed = true
    this.#input.isClosed = true
  }

  /** Null: nobody answers. */
  #ask<N extends keyof PlainAnswers>(
    name: N,
    question: Parameters<PlainAnswers[N]>[0],
  ): ReturnType<PlainAnswers[N]> | null {
    const say = this.#says[name] as (about: typeof question) => ReturnType<PlainAnswers[N]>
    try {
      return say(question)
    } catch {
      return null
    }
  }

  /** Resolves when all of it has been looked at and every question answered. */
  async write(octets: Buffer): Promise<void> {
    let used = false
    // as of a socket, whose memory the next read takes again
    const lent = Buffer.from(octets)
    const next = () => {
      used = true
    }
    this.#input.take(lent, next, true)
    lent.fill('!')
    for (;;) {
      const answers = this.#answers
      this.#answers = []
      for (const answer of answers) this.feed(answer)
      await new Promise((done) => process.nextTick(done))
      if (used && this.#answers.length === 0) return
      if (!used) await new Promise((done) => setImmediate(done))
    }
  }

  /** Resolves when nothing is on its way any more. */
  async settle(): Promise<void> {
    while (this.#answers.length > 0 || this.#awaited > 0) {
      const answers = this.#answers
      this.#answers = []
      for (const answer of answers) this.feed(answer)
      await new Promise((done) => setImmediate(done))
    }
  }

  /** All that was said since the last time. */
  takeOutput(): string {
    const text = this.output
    this.output = ''
    return text
  }

  feed(event: Event): void {
    this.#take(event)
    this.#input.resume()
  }

  #take(event: Event): void {
    const now: Moment = {
      time: 0,
      intake: this.intake,
      isFull: (destination) => this.#full.has(destination),
      knownAnswer: () => null,
      lookUp: (question) => this.#maps.get(question),
      takeId: () => this.#ids++,
      random: (octets: number) => Buffer.alloc(octets, 7),
    }
    const next = step(this.#setting, this.state, event, now)
    this.state = next.state
    for (const effect of next.effects) this.#carryOut(effect)
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'reply':
        this.output += renderReply(effect.reply)
        return
      case 'verify':
        return this.#verify(effect.claim)
      case 'resolve':
      case 'screen':
      case 'greylist':
      case 'look-up':
        return inquire(effect, this.#bus, this.#setting, (event) => void this.#answers.push(event))
      case 'secure':
        return this.#secure()
      case 'check':
        return this.#check(effect.transaction)
      case 'receive':
        return this.#open(effect)
      case 'expect':
      case 'skip':
      case 'hold':
      case 'drop':
        return this.#reception.carryOut(effect)
      case 'turn':
        return this.#turn(effect.domain)
      case 'assume':
        this.#setting = effect.setting
        this.#answers.push({
          kind: 'opened',
          answer: effect.allowed
            ? { kind: 'go' }
            : { kind: 'refused', reply: { code: 554, enhanced: '5.7.1', text: 'no', host: '' } },
        })
        return
      case 'submit':
        this.#reception.putOnTop(effect.front)
        return this.#submit(effect.envelope)
      case 'close':
        return this.#end('')
      default:
        return
    }
  }

  #open({ framing, hello, transaction }: Extract<Effect, { kind: 'receive' }>): void {
    this.#streamed = []
    const { bareNewline } = this.#slice
    const plan = planOf(
      { bareNewline, inlineLimit: 128 << 10, sign: keyless },
      this.#setting,
      hello,
      transaction,
      this.state,
    )
    this.#reception.open({ ...plan, framing, received: '' })
  }

  /** The bus, as sessions ask it. */
  readonly #bus: Pick<QueueBus, 'resolve' | 'screen' | 'greylist' | 'askMaps'> = {
    askMaps: (questions, answered) => {
      this.#maps.put(questions, this.#ask('look-up', { questions })?.answers ?? null)
      answered()
    },
    resolve: (question, answered) => answered(this.#ask('resolve', question)),
    screen: (question, answered) => answered(this.#ask('screen', question)),
    greylist: (question, answered) => answered(this.#ask('greylist', question)),
  }

  #verify(claim: Claim): void {
    const tried = this.#ask('login-try', { client: this.#setting.client, login: '' })
    const verdict: Verdict =
      tried === null ? { kind: 'unknown' } : tried.kind === 'braked' ? { kind: 'braked' } : judge(claim)
    this.#answers.push({ kind: 'verified', verdict })
  }

  /** RFC 3207 section 4.2: the old input is closed with all that is in it. */
  #secure(): void {
    this.#input.isClosed = true
    this.#input = new Input()
    this.#input.attach(this, longestLine(this.#setting))
  }

  #turn(domain: string): void {
    const answer = this.#ask('queue-act', { act: 'retry', filter: { domain } })
    this.#answers.push({ kind: 'turned', recipients: answer?.kind === 'done' ? answer.recipients : null })
  }

  #check(transaction: Transaction): void {
    this.#awaited++
    const questions: Questions & { time: number } = {
      time: 0,
      tally: { isOn: false, count: () => undefined },
      askText: (name, answered) => answered(this.#ask('look-up-text', { name })),
      senderPolicy: (question, answered) => answered(this.#ask('sender-policy', question)),
    }
    this.#reception.check(transaction, questions, { checked: () => undefined }, (event) => {
      this.#awaited--
      this.feed(event)
    })
  }

  #submit(envelope: Envelope): void {
    const { inline, patch } = this.#reception
    const streamed = Buffer.concat(this.#streamed).subarray(patch?.octets ?? 0)
    const content = Buffer.concat(inline ? [inline] : [patch?.data ?? Buffer.alloc(0), streamed])
    const answer = this.#ask('submit', { envelope, content })
    if (answer?.kind === 'accepted') this.messages.push({ envelope, content })
    this.#reception.letGo()
    this.#answers.push({ kind: 'settled', answer })
  }

  get receiving(): boolean {
    return this.#reception.receiving
  }

  get blocked(): boolean {
    return false
  }

  arrived(): void {
    const { at } = this.state.phase
    if (at === 'connect' || at === 'delay') this.#take({ kind: 'early' })
  }

  mayTake(line: Line): boolean {
    return mayTake(this.#setting, this.state, line.kind === 'line' ? line.text : '')
  }

  takeLine(line: Line): void {
    this.#take(line)
  }

  takeContent(chunk: Buffer, from: number): number {
    return this.#reception.take(chunk, from)
  }

  idle(): void {}

  ended(): void {
    if (!awaitsUs(this.state.phase)) this.closed = true
  }
}
