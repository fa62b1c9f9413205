/**
 * What a session receives that is no command: content after DATA up to its end, content after BDAT as many octets as
 * were announced (RFC 3030), and octets that were announced and are not wanted, which must be read all the same.
 *
 * The shell asks `receiving` before it looks for a command, gives octets to `take` and hears through `tell` when a
 * chunk or the whole is there. One message's content is open at a time; it may outlive many chunks. A client that
 * goes, or resets, has its content dropped.
 * Next: `content.ts`, `session.ts`.
 */

import { authenticate, type Checked, fateOfForged, type Questions } from './authentication/authenticate.ts'
import { Content } from './content.ts'
import type { ContentPlan, Outlet } from './content-plan.ts'
import { examine, type Patch } from './filter/outcome.ts'
import { replies } from './replies.ts'
import type { SessionLog } from './session-log.ts'
import { verifySignatures } from './signature/judge.ts'
import type { SigningWatch } from './signing/signing-watch.ts'
import type { Effect, Event, Forged, Transaction } from './state.ts'

/** The bus, as content needs it. */
export interface Streams extends Outlet {
  openStream: (content: Content, resume: () => void) => void
  closeStream: (stream: number) => void
}

/** What is being read: nothing, content to its end, so many octets of content, so many octets for nobody. */
type Reading =
  | { kind: 'commands' }
  | { kind: 'dots' }
  | { kind: 'chunk'; left: number; octets: number; last: boolean }
  | { kind: 'skip'; left: number }

const COMMANDS: Reading = { kind: 'commands' }

export class Reception {
  readonly #streams: Streams
  readonly #resume: () => void
  readonly #tell: (event: Event) => void
  #reading: Reading = COMMANDS
  #content: Content | null = null
  /** Content that has ended, until all that is told of it has been. */
  #ended: Content | null = null
  #kept = false
  #plan: ContentPlan | null = null
  /** The gathered content, while its end is told, its recipients are looked up, its signatures are looked into. */
  inline: Buffer | null = null
  /** What takes the place of the beginning of content that was streamed. */
  patch: Patch | null = null
  /** Octets of the present message that have come, as the client sends them. */
  octets = 0

  constructor(streams: Streams, resume: () => void, tell: (event: Event) => void) {
    this.#streams = streams
    this.#resume = resume
    this.#tell = tell
  }

  /** Octets are expected, not commands. */
  get receiving(): boolean {
    return this.#reading.kind !== 'commands'
  }

  get blocked(): boolean {
    return this.#content?.blocked === true
  }

  /** A message's content begins. */
  open(plan: ContentPlan): void {
    const content = new Content(plan, this.#streams)
    this.#content = content
    this.#plan = plan
    this.#streams.openStream(content, this.#resume)
    this.octets = 0
    if (plan.framing === 'dots') this.#reading = { kind: 'dots' }
  }

  carryOut(effect: Extract<Effect, { kind: 'expect' | 'skip' | 'hold' | 'drop' }>): void {
    switch (effect.kind) {
      case 'expect':
        return this.#expect(effect.octets, effect.last)
      case 'skip':
        return this.#skip(effect.octets)
      case 'hold':
        return this.hold()
      case 'drop':
        return this.drop()
      default:
        return effect satisfies never
    }
  }

  #expect(octets: number, last: boolean): void {
    this.#reading = { kind: 'chunk', left: octets, octets, last }
    if (octets === 0) this.#endChunk(octets, last)
  }

  #skip(octets: number): void {
    if (octets === 0) return
    this.#reading = { kind: 'skip', left: octets }
  }

  /** Returns where commands go on, or -1 while they do not. */
  take(chunk: Buffer, from: number): number {
    const reading = this.#reading
    switch (reading.kind) {
      case 'commands':
        return from
      case 'dots': {
        const end = this.#content?.push(chunk, from) ?? from
        this.octets += (end < 0 ? chunk.length : end) - from
        if (end >= 0) this.#endContent()
        return end
      }
      case 'skip':
      case 'chunk':
        return this.#count(reading, chunk, from)
      default:
        return reading satisfies never
    }
  }

  #count(reading: Extract<Reading, { left: number }>, chunk: Buffer, from: number): number {
    const to = Math.min(chunk.length, from + reading.left)
    reading.left -= to - from
    this.octets += to - from
    if (reading.kind === 'chunk') this.#content?.pushPart(chunk, from, to)
    if (reading.left > 0) return -1
    if (reading.kind === 'chunk') this.#endChunk(reading.octets, reading.last)
    else this.#reading = COMMANDS
    return to
  }

  #endChunk(octets: number, last: boolean): void {
    if (last) return this.#endContent()
    this.#reading = COMMANDS
    this.#tell({ kind: 'chunk', octets, doom: this.#content?.doom ?? null })
  }

  #endContent(): void {
    const content = this.#content
    this.#reading = COMMANDS
    this.#content = null
    if (!content) return
    const { verdict, inline } = content.finish()
    this.inline = inline
    this.#ended = content
    this.#kept = false
    this.#tell({ kind: 'content', verdict })
    if (!this.#kept) this.letGo()
  }

  /** While its end is told: it is to be kept until it is submitted or dropped. */
  hold(): void {
    this.#kept = true
  }

  /** What is kept was lost with its queue. */
  get lost(): boolean {
    return this.#ended !== null && this.#ended.doom !== null
  }

  /** Asks for keys and policies, and tells how it went; maybe before it returns. */
  check(
    transaction: Transaction,
    questions: Questions & { readonly time: number },
    log: Pick<SessionLog, 'checked'>,
    told: (event: Event) => void,
  ): void {
    const [ended, plan] = [this.#ended, this.#plan]
    const seconds = Math.floor(questions.time / 1000)
    this.#kept = true
    const tell = (checked: Checked) => {
      if (!ended || this.#ended !== ended) return // the client has gone
      const { change, refusal } = checked
      const isOver = refusal !== null || change?.revision.discard === true
      if (plan?.signing && !isOver) return this.#sign(ended, plan.signing, checked, finish)
      finish(checked)
    }
    const finish = (checked: Checked) => {
      if (!ended || this.#ended !== ended) return
      this.#kept = false
      if (checked.refusal) ended.abandon()
      log.checked(transaction, checked)
      const { refusal, hold, change, grown } = checked
      told({ kind: 'checked', refusal, hold, ...(change && { change }), ...(grown && { grown }) })
      this.letGo()
    }
    if (!transaction.signed) return this.#authenticate(transaction.forged, seconds, questions, tell)
    const finding = plan?.watch?.end(seconds, transaction.sender) ?? { kind: 'unfit' }
    verifySignatures(finding, questions.askText, (refusal) => {
      if (refusal) tell({ refusal, hold: false, results: null })
      else this.#authenticate(transaction.forged, seconds, questions, tell)
    })
  }

  #authenticate(
    forged: Forged,
    seconds: number,
    questions: Questions,
    tell: (checked: Checked) => void,
  ): void {
    const watch = this.#plan?.authentication
    const ended = this.#ended
    if (!watch) return this.#filter({ refusal: null, hold: false, results: null }, tell)
    void authenticate(watch.origin, watch.end(seconds), questions).then(({ field, results }) => {
      // nothing of it is ours any more when the client has gone meanwhile
      if (ended !== null && this.#ended === ended) this.#fill(Buffer.from(field, 'latin1'))
      const fate = fateOfForged(results, forged)
      questions.tally.count(watch.origin, results, fate)
      this.#filter({ ...fate, results }, tell)
    })
  }

  #fill(field: Buffer): void {
    if (this.inline) field.copy(this.inline)
    else this.patch = { octets: field.length, data: field }
  }

  #filter(checked: Checked, tell: (checked: Checked) => void): void {
    const ended = this.#ended
    const filters = this.#plan?.filters
    if (checked.refusal || !ended || !filters) return tell(checked)
    void examine(ended, filters, this).then(({ inline, patch, ...seen }) => {
      if (this.#ended !== ended) return // the client has gone
      if (inline && this.inline === null) ended.takeBack()
      this.inline = inline
      this.patch = patch
      tell({ ...checked, ...seen })
    })
  }

  /** As it will leave: after all else that changes it. */
  #sign(ended: Content, signing: SigningWatch, checked: Checked, finish: (checked: Checked) => void): void {
    const { inline, patch } = this
    const signed = inline
      ? signing.signWhole(inline.subarray(ended.headerAt))
      : signing.signStreamed(patch?.data.subarray(ended.headerAt) ?? null)
    void signed.then((made) => {
      if (this.#ended !== ended) return // the client has gone
      if (made.kind === 'failed') return finish({ ...checked, refusal: replies.keyMissing })
      if (made.kind === 'none') return finish(checked)
      this.putOnTop(made.field)
      finish({ ...checked, grown: made.field.length })
    })
  }

  /** Fields that are only known now; of content that was streamed there is room for them (`ContentPlan.room`). */
  putOnTop(front: string): void {
    if (front === '') return
    const octets = Buffer.from(front)
    if (this.inline) this.inline = Buffer.concat([octets, this.inline])
    else
      this.patch = {
        octets: this.patch?.octets ?? 0,
        data: Buffer.concat([octets, this.patch?.data ?? Buffer.alloc(0)]),
      }
  }

  /** What has ended was submitted, or its end was the end of it. */
  letGo(): void {
    const ended = this.#ended
    this.inline = null
    this.patch = null
    this.#ended = null
    if (!ended) return
    ended.release()
    this.#streams.closeStream(ended.stream)
  }

  /** Nobody wants the content any more. */
  drop(): void {
    this.#ended?.abandon()
    this.#kept = false
    this.letGo()
    if (!this.#content) return
    this.#content.abandon()
    this.#streams.closeStream(this.#content.stream)
    this.#content = null
    this.#reading = COMMANDS
  }
}
