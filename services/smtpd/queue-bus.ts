/**
 * What smtpd knows of the rest of Posthorn: its links to qmgr and resolver, qmgr's word on new mail, and the
 * source of ids.
 *
 * Fails: no answer ever throws; a lost or late one comes as null, which sessions answer with 4xx. While qmgr is
 * away intake is 'down' and there are no ids, so nothing is begun that could not be finished; with each welcome
 * comes a new serial, and content that was under way on the old connection is lost to it.
 */
import { randomBytes } from 'node:crypto'
import { IdSource } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import { type Link, openLink } from '../../shared/bus/link.ts'
import type { Answer, Payload, RequestName } from '../../shared/bus/messages.ts'
import type { Identity } from '../../shared/bus/peer.ts'
import { Answers } from './answers.ts'
import { Tally } from './authentication/tally.ts'
import type { Content } from './content.ts'
import type { Outlet } from './content-plan.ts'
import { MapAnswers } from './map-answers.ts'
import type { Reception } from './reception.ts'
import type { AskText } from './signature/judge.ts'
import type { Effect, Intake, MapQuestion, Moment } from './state.ts'

export interface BusOptions {
  qmgr: string
  resolver: string
  identity: () => Identity
  log: Log
}

/** A stream of content under way, and how its reader goes on when there is credit again. */
interface Stream {
  content: Content
  resume: () => void
}

const DOWN: Intake = { state: 'down', reason: '', storage: false }
const GO: Intake = { state: 'go', reason: '', storage: false }

export type Signer = (question: Payload<'sign'>) => Promise<Answer<'sign'>>

export type Submission = Extract<Effect, { kind: 'submit' }>

export class QueueBus implements Moment, Outlet {
  intake: Intake = DOWN
  readonly #log: Log
  readonly #qmgr: Link
  readonly #resolver: Link
  readonly #streams = new Map<number, Stream>()
  readonly #answers = new Answers(Date.now)
  readonly #maps = new MapAnswers(Date.now)
  /** Destinations that take no more recipients. */
  readonly #full = new Set<string>()
  readonly tally = new Tally((counts) => void this.#resolver.send('dmarc-counts', { counts }))
  #ids: IdSource | null = null
  #signer: Signer = () => Promise.resolve({ kind: 'failed' })

  constructor({ qmgr, resolver, identity, log }: BusOptions) {
    this.#log = log
    this.#qmgr = openLink({
      target: qmgr,
      remote: 'qmgr',
      identity,
      log,
      handlers: {
        load: ({ intake, reason, storage = false }) => this.#hearLoad({ state: intake, reason, storage }),
        backlog: ({ full, relieved }) => {
          for (const destination of full) this.#full.add(destination)
          for (const destination of relieved) this.#full.delete(destination)
        },
        'content-credit': ({ stream, octets }) => this.#hearCredit(stream, octets),
        sign: (question) => this.#signer(question),
      },
      onUp: ({ serial }) => {
        this.#ids = new IdSource(serial)
        // its word on load may have come in the same breath as its welcome
        if (this.intake.state === 'down') this.intake = GO
      },
      onDown: () => this.#lost(),
    })
    // A resolver that comes back may have another config.
    const onUp = () => {
      this.#answers.clear()
      this.#maps.clear()
    }
    this.#resolver = openLink({ target: resolver, remote: 'resolver', identity, log, handlers: {}, onUp })
  }

  random = (octets: number): Buffer => randomBytes(octets)

  get time(): number {
    return Date.now()
  }

  get up(): boolean {
    return this.#qmgr.up
  }

  knownAnswer = (question: Payload<'resolve'>): Answer<'resolve'> | null => this.#answers.get(question)

  lookUp: Moment['lookUp'] = (question) => this.#maps.get(question)

  lastLookUp: Moment['lookUp'] = (question) => this.#maps.last(question)

  isFull = (destination: string): boolean => this.#full.size > 0 && this.#full.has(destination)

  /** An id for a session or transaction; null while there is no qmgr. */
  takeId = (): number | null => this.#ids?.next() ?? null

  /** Resolves when qmgr and resolver have welcomed us. */
  async ready(): Promise<void> {
    await Promise.all([this.#qmgr.ready(), this.#resolver.ready()])
  }

  openSession(
    question: Payload<'session-open'>,
    answered: (answer: Answer<'session-open'> | null) => void,
  ): void {
    this.#ask(this.#qmgr, 'session-open', question, answered)
  }

  /** Null: nobody can tell. */
  tryLogin(who: Payload<'login-try'>, answered: (answer: Answer<'login-try'> | null) => void): void {
    this.#ask(this.#qmgr, 'login-try', who, answered)
  }

  loginOver(who: Payload<'login-over'>): void {
    this.#qmgr.send('login-over', who)
  }

  /** @param refusals recipients that got a 5xx. */
  closeSession(session: string, refusals: number): void {
    this.#qmgr.send('session-close', refusals > 0 ? { session, refusals } : { session })
  }

  resolve(question: Payload<'resolve'>, answered: (answer: Answer<'resolve'> | null) => void): void {
    this.#ask(this.#resolver, 'resolve', question, (answer) => {
      if (answer && !question.explain) this.#answers.put(question, answer)
      answered(answer)
    })
  }

  /** Who signs what qmgr asks for. */
  setSigner(signer: Signer): void {
    this.#signer = signer
  }

  /** By the keys of another smtpd; null: it cannot be asked. */
  sign(question: Payload<'sign'>): Promise<Answer<'sign'> | null> {
    return new Promise((answered) => this.#ask(this.#qmgr, 'sign', question, answered))
  }

  /** TXT records, for keys. */
  askText: AskText = (name, answered) => {
    this.#ask(this.#resolver, 'look-up-text', { name }, answered)
  }

  senderPolicy(
    question: Payload<'sender-policy'>,
    answered: (answer: Answer<'sender-policy'> | null) => void,
  ): void {
    this.#ask(this.#resolver, 'sender-policy', question, answered)
  }

  caller(question: Payload<'caller'>, answered: (answer: Answer<'caller'> | null) => void): void {
    this.#ask(this.#resolver, 'caller', question, answered)
  }

  /** `lookUp` has the answers then. */
  askMaps(questions: MapQuestion[], answered: () => void): void {
    this.#ask(this.#resolver, 'look-up', { questions }, (answer) => {
      this.#maps.put(questions, answer?.answers ?? null)
      answered()
    })
  }

  greylist(question: Payload<'greylist'>, answered: (answer: Answer<'greylist'> | null) => void): void {
    this.#ask(this.#resolver, 'greylist', question, answered)
  }

  screen(question: Payload<'screen'>, answered: (answer: Answer<'screen'> | null) => void): void {
    this.#ask(this.#resolver, 'screen', question, answered)
  }

  /** What DNS calls a client. */
  nameClient(
    question: Payload<'name-client'>,
    answered: (answer: Answer<'name-client'> | null) => void,
  ): void {
    this.#ask(this.#resolver, 'name-client', question, answered)
  }

  /** @param content packed before this returns, so the buffer may go round; null: it was streamed. */
  submit(
    { envelope, cutThrough, verdict }: Submission,
    { inline: content, patch }: Pick<Reception, 'inline' | 'patch'>,
    answered: (answer: Answer<'submit'> | null) => void,
  ): void {
    const wait = { ...(cutThrough > 0 && { cutThrough }), ...(verdict && { verdict }) }
    const message = { envelope, content, ...wait, ...(patch && { patch }) }
    this.#ask(this.#qmgr, 'submit', message, answered)
  }

  /** ETRN: what waits for the domain, and for those below it, is tried now. Null: it could not be asked, or failed. */
  turn(
    { domain, below }: { domain: string; below: boolean },
    answered: (recipients: number | null) => void,
  ): void {
    const act = (pattern: string, done: (recipients: number | null) => void) =>
      this.#ask(this.#qmgr, 'queue-act', { act: 'retry', filter: { domain: pattern } }, (answer) =>
        done(answer?.kind === 'done' ? answer.recipients : null),
      )
    act(domain, (exact) => {
      if (!below || exact === null) return answered(exact)
      act(`*.${domain}`, (others) => answered(others === null ? null : exact + others))
    })
  }

  /** The content may outgrow one frame: credit and loss are its business from now on. */
  openStream(content: Content, resume: () => void): void {
    this.#streams.set(content.stream, { content, resume })
  }

  closeStream(stream: number): void {
    this.#streams.delete(stream)
  }

  chunk(stream: number, data: Uint8Array, last: boolean, room: number): void {
    const more = room > 0 ? { room } : {}
    this.#qmgr.send('content-chunk', last ? { stream, data, last, ...more } : { stream, data, ...more })
  }

  abort(stream: number): void {
    this.#qmgr.send('content-abort', { stream })
  }

  close(): void {
    this.tally.flush()
    this.#qmgr.close()
    this.#resolver.close()
  }

  #ask<N extends RequestName>(
    link: Link,
    name: N,
    payload: Payload<N>,
    answered: (answer: Answer<N> | null) => void,
  ): void {
    link.request(name, payload).then(answered, (error: unknown) => {
      this.#log.debug({ name, why: String(error) }, 'bus request failed')
      answered(null)
    })
  }

  #hearLoad(intake: Intake): void {
    if (intake.state !== this.intake.state)
      this.#log.info({ from: this.intake.state, to: intake.state, reason: intake.reason }, 'intake changed')
    this.intake = intake
  }

  #hearCredit(stream: number, octets: number): void {
    const known = this.#streams.get(stream)
    if (!known) return
    known.content.giveCredit(octets)
    known.resume()
  }

  #lost(): void {
    this.#ids = null
    this.intake = DOWN
    this.#full.clear()
    for (const { content, resume } of this.#streams.values()) {
      content.lose()
      resume()
    }
  }
}
