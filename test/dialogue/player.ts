/**
 * A session without a socket: the real input, state machine and content, between octets on one side and answers
 * that are given in memory on the other. What the shell does, in few lines and at once.
 */

import { compileAccess } from '../../services/smtpd/access.ts'
import { longestLine } from '../../services/smtpd/auth.ts'
import { planOf } from '../../services/smtpd/content-plan.ts'
import { Input, type Owner } from '../../services/smtpd/input.ts'
import { Reception } from '../../services/smtpd/reception.ts'
import type { Claim, Verdict } from '../../services/smtpd/sasl-step.ts'
import { awaitsUs, mayTake, openSession, step } from '../../services/smtpd/session.ts'
import { matchesOf, settingFor } from '../../services/smtpd/setting.ts'
import type {
  AuthSetting,
  Effect,
  Event,
  Intake,
  Moment,
  Setting,
  State,
} from '../../services/smtpd/state.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import { emptyBook } from '../../shared/config/rule-book.ts'
import type { ListenerSlice } from '../../shared/config/slices.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { Line } from '../../shared/smtp/line-reader.ts'
import { renderReply } from '../../shared/smtp/reply.ts'
import { listenerSlice, resolveByName } from '../system/smtpd-stage.ts'

export interface Received {
  envelope: Envelope
  content: Buffer
}

export function settingOf(slice: ListenerSlice, change: Partial<Setting> = {}): Setting {
  const ground = {
    slice,
    matches: matchesOf(slice),
    rules: emptyBook,
    access: compileAccess(slice.access),
    ...({
      hostname: 'mx.example.org',
      qualifyDomain: 'example.org',
      session: 'S1',
      starttls: 'none',
    } as const),
    auth: slice.auth && authSettingOf(slice.auth),
  }
  return { ...settingFor(ground, '127.0.0.1', undefined), ...change }
}

/** The stage's users: see `passwords` there. */
function authSettingOf({ required, withoutTls }: NonNullable<ListenerSlice['auth']>): AuthSetting {
  return {
    required,
    withoutTls,
    mechanisms: () => ['PLAIN', 'LOGIN'],
    relays: () => false,
    maySend: () => true,
    asUser: (setting) => setting,
  }
}

function judge(claim: Claim): Verdict {
  const right = claim.kind === 'password' && claim.login === 'anna' && claim.password === 'secret'
  return right ? { kind: 'true', login: 'anna' } : { kind: 'false' }
}

export class Player implements Owner {
  state: State
  output = ''
  closed = false
  readonly messages: Received[] = []
  intake: Intake = { state: 'go', reason: '', storage: false }
  #setting: Setting
  readonly #slice: ListenerSlice
  readonly #input = new Input()
  readonly #reception: Reception
  #streamed: Buffer[] = []
  #ids = 1
  #answers: Event[] = []

  constructor(change: Partial<ListenerSlice> = {}, setting: Partial<Setting> = {}) {
    this.#slice = listenerSlice(change)
    this.#setting = settingOf(this.#slice, setting)
    this.state = openSession(null)
    this.#input.attach(this, longestLine(this.#setting))
    const streams = {
      chunk: (_: number, data: Uint8Array) => void this.#streamed.push(Buffer.from(data)),
      abort: () => undefined,
      openStream: () => undefined,
      closeStream: () => undefined,
    }
    this.#reception = new Reception(streams, this.#input.resume, (event) => this.#take(event))
    this.feed({ kind: 'opened', answer: { kind: 'go' } })
  }

  /** Resolves when all of it has been looked at and every question answered. */
  async write(octets: Buffer): Promise<void> {
    let used = false
    this.#input.write(octets, () => {
      used = true
    })
    for (;;) {
      const answers = this.#answers
      this.#answers = []
      for (const answer of answers) this.feed(answer)
      await new Promise((done) => process.nextTick(done))
      if (used && this.#answers.length === 0) return
      if (!used) await new Promise((done) => setImmediate(done))
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
      isFull: () => false,
      knownAnswer: () => null,
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
        this.#answers.push({ kind: 'verified', verdict: judge(effect.claim) })
        return
      case 'resolve':
        this.#answers.push({
          kind: 'resolved',
          n: effect.n,
          answer: resolveByName({ address: effect.address }),
        })
        return
      case 'receive':
        return this.#open(effect)
      case 'expect':
      case 'skip':
      case 'hold':
      case 'drop':
        return this.#reception.carryOut(effect, 0)
      case 'turn':
        this.#answers.push({ kind: 'turned', recipients: effect.domain === 'waits.example' ? 3 : 0 })
        return
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
        return this.#submit(effect.envelope)
      case 'close':
        this.closed = true
        this.#input.isClosed = true
        return
      default:
        return
    }
  }

  #open({ framing, hello, transaction }: Extract<Effect, { kind: 'receive' }>): void {
    this.#streamed = []
    const { bareNewline } = this.#slice
    const plan = planOf(
      { bareNewline, inlineLimit: 128 << 10 },
      this.#setting,
      hello,
      transaction,
      this.state,
    )
    this.#reception.open({ ...plan, framing, received: '' }, 0)
  }

  #submit(envelope: Envelope): void {
    const { inline } = this.#reception
    const content = inline ? Buffer.from(inline) : Buffer.concat(this.#streamed)
    this.messages.push({ envelope, content })
    this.#reception.letGo()
    const answer: Answer<'submit'> = { kind: 'accepted' }
    this.#answers.push({ kind: 'settled', answer })
  }

  get receiving(): boolean {
    return this.#reception.receiving
  }

  get blocked(): boolean {
    return false
  }

  arrived(): void {}

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
