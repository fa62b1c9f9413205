/**
 * One message's content on its way from a client to qmgr, never a whole large one in memory.
 *
 * Up to `inlineLimit` octets are gathered and travel inside `submit`. Beyond that the content goes out in chunks
 * while it comes in, at most CONTENT_WINDOW octets ahead of qmgr's credit; `blocked` tells the reader to pause.
 * Content that will be refused (too large, bare newlines, too many hops, no qmgr left) is read to its end and
 * dropped. The header is looked at once, in what is gathered: it is held against the listener's bounds, and a
 * submission's is made what it should be. For that it is gathered whole, `headerSize` octets at most.
 *
 * The gathering buffers go round: what `finish` returns is good until `release`.
 */
import { CONTENT_CHUNK, CONTENT_WINDOW } from '../../shared/bus/messages.ts'
import { splitHeader } from '../../shared/message/header.ts'
import { DataParser } from '../../shared/smtp/data-parser.ts'
import type { Newlines, Sink } from '../../shared/smtp/newlines.ts'
import { withoutClaims } from './authentication/results.ts'
import type { AuthenticationWatch } from './authentication/watch.ts'
import { ChunkParser } from './chunk-parser.ts'
import type { ContentPlan, Doom, Outlet } from './content-plan.ts'
import { headerText, LineMeter, nulsOf, whyNotHeader } from './header-bounds.ts'
import type { Verdict } from './state.ts'
import { completeHeader, type Named } from './submission.ts'

const FIRST_BUFFER = 16 * 1024
const MOST_SPARE = 64
/** Less is gathered: every piece costs a message of its own. */
const LEAST_PIECE = CONTENT_CHUNK / 4
/** One read from a socket is at most a chunk, at most doubled by making newlines whole, and a chunk is pending. */
const LEAST_CREDIT = 4 * CONTENT_CHUNK

const spare: Buffer[] = []

export class Content {
  readonly stream: number
  readonly #plan: ContentPlan
  readonly #outlet: Outlet
  readonly #dots: DataParser | null
  readonly #lines: ChunkParser | null
  #buffer: Buffer
  #used: number
  /** Where the client's header begins. */
  #header: number
  /** All there is of it, once it has ended. */
  size = 0
  /** Octets of the client's content. */
  #octets = 0
  /** Octets handed to the outlet. */
  #sent = 0
  #streaming = false
  #credit = CONTENT_WINDOW
  #headerNuls = 0
  #doom: Doom | null = null
  /** Octets that are gathered before a stream is begun. */
  #limit: number
  #named: Named | null = null
  readonly #meter: LineMeter | null

  constructor(plan: ContentPlan, outlet: Outlet) {
    this.stream = plan.stream
    this.#plan = plan
    this.#outlet = outlet
    this.#buffer = spare.pop() ?? Buffer.allocUnsafeSlow(FIRST_BUFFER)
    this.#used = this.#buffer.write(plan.received)
    this.#header = this.#used
    this.#limit = plan.inlineLimit
    this.#meter = plan.bounds.line > 0 && plan.framing !== 'octets' ? new LineMeter(plan.bounds.line) : null
    const normalise = plan.bareNewline === 'normalise'
    const sink: Sink = (chunk, from, to) => this.#take(chunk, from, to)
    this.#dots = plan.framing === 'dots' ? new DataParser(normalise, sink) : null
    this.#lines = plan.framing === 'lines' ? new ChunkParser(normalise, sink) : null
  }

  /** After DATA: takes octets as they come; returns where the commands go on, or -1 while there is no end. */
  push(chunk: Buffer, from: number): number {
    const end = this.#dots ? this.#dots.push(chunk, from) : from
    this.#judgeLines()
    return end
  }

  /** After BDAT: takes the octets from `from` up to `to`. */
  pushPart(chunk: Buffer, from: number, to: number): void {
    if (this.#lines) this.#lines.push(chunk, from, to)
    else this.#take(chunk, from, to)
    this.#judgeLines()
  }

  #judgeLines(): void {
    if (this.#seen?.bare && this.#plan.bareNewline === 'refuse') this.#fail('bare-newline')
    if (this.#streaming) this.#judgeNuls()
  }

  /** Once it is known how many stand in the header. */
  #judgeNuls(): void {
    const nuls = this.#seen?.nuls ?? 0
    if (nuls > this.#headerNuls && this.#plan.bounds.bodyNul === 'refuse') this.#fail('nul-in-body')
  }

  /** What was seen that may not stand in text; null for binary content. */
  get #seen(): Newlines | null {
    return (this.#dots ?? this.#lines)?.seen ?? null
  }

  /** Why it will be refused, as far as it is known by now. */
  get doom(): Doom | null {
    return this.#doom
  }

  /** qmgr is behind: read no more until `giveCredit`. */
  get blocked(): boolean {
    if (!this.#streaming || this.#doom !== null) return false
    return this.#credit < LEAST_CREDIT || this.#plan.filters?.blocked === true
  }

  giveCredit(octets: number): void {
    this.#credit += octets
  }

  /** qmgr is gone, and what it had with it. */
  lose(): void {
    if (this.#streaming) this.#fail('queue-lost')
  }

  /** After the end of data. `inline` is null when the content has been streamed. */
  finish(): { verdict: Verdict; inline: Buffer | null } {
    this.#lines?.end()
    this.#judgeLines()
    if (!this.#streaming && this.#doom === null) this.#inspect(false)
    this.#judgeNuls()
    if (this.#doom !== null) return { verdict: { kind: this.#doom }, inline: null }
    this.size = this.#sent + this.#used
    const whole = {
      kind: 'whole',
      size: this.size,
      ...(this.#named && { named: this.#named }),
    } as const
    if (!this.#streaming) return { verdict: whole, inline: this.#buffer.subarray(0, this.#used) }
    this.#flush(true)
    return { verdict: whole, inline: null }
  }

  /** What is put in front, and where that ends. */
  get received(): string {
    return this.#plan.received
  }

  get headerAt(): number {
    return this.#header
  }

  get sizeLimit(): number {
    return this.#plan.sizeLimit
  }

  /** What has been streamed is not wanted: it goes another way. */
  takeBack(): void {
    if (this.#streaming && this.#doom === null) this.#outlet.abort(this.stream)
    this.#streaming = false
  }

  /** The client went away: what has been streamed is of no use. */
  abandon(): void {
    if (this.#doom === null && this.#streaming) this.#outlet.abort(this.stream)
    this.#doom ??= 'queue-lost'
    this.release()
  }

  release(): void {
    if (this.#buffer.length === FIRST_BUFFER && spare.length < MOST_SPARE) spare.push(this.#buffer)
    this.#buffer = NONE
    this.#used = 0
  }

  /** @param fresh octets that have not been counted yet. */
  #take(chunk: Buffer, from: number, to: number, fresh = to - from): void {
    this.#octets += fresh
    if (this.#octets > this.#plan.sizeLimit) this.#fail('too-large')
    if (this.#meter && fresh > 0) this.#measure(this.#meter, chunk, from, to)
    if (this.#doom !== null) return
    this.#plan.watch?.push(chunk, from, to)
    this.#plan.authentication?.push(chunk, from, to)
    if (this.#streaming) return this.#pass(chunk, from, to)
    const fits = Math.min(to, from + this.#limit - this.#used)
    this.#gather(chunk, from, fits)
    if (fits === to) return
    if (this.#wantsMore()) return this.#take(chunk, fits, to, 0)
    this.#startStream()
    if (this.#streaming) this.#pass(chunk, fits, to)
  }

  #pass(chunk: Buffer, from: number, to: number): void {
    this.#plan.signing?.push(chunk, from, to)
    this.#plan.filters?.push(chunk.subarray(from, to))
    this.#forward(chunk, from, to)
  }

  #measure(meter: LineMeter, chunk: Buffer, from: number, to: number): void {
    meter.push(chunk, from, to)
    if (meter.tooLong) this.#fail('long-line')
  }

  /** The header has not ended, and may be longer. */
  #wantsMore(): boolean {
    const most = this.#header + this.#plan.bounds.headerSize
    if (this.#limit >= most) return false
    if (splitHeader(this.#buffer.toString('latin1', this.#header, this.#used), false)) return false
    this.#limit = most
    return true
  }

  #gather(chunk: Buffer, from: number, to: number): void {
    const needed = this.#used + to - from
    if (needed > this.#buffer.length) this.#grow(needed)
    chunk.copy(this.#buffer, this.#used, from, to)
    this.#used = needed
  }

  #grow(needed: number): void {
    let size = this.#buffer.length
    while (size < needed) size *= 2
    const bigger = Buffer.allocUnsafeSlow(size)
    const used = this.#used
    this.#buffer.copy(bigger, 0, 0, used)
    this.release()
    this.#buffer = bigger
    this.#used = used
  }

  #startStream(): void {
    this.#inspect(true)
    if (this.#doom !== null) return
    const gathered = this.#buffer
    const { length } = gathered.subarray(0, this.#used)
    const named = this.#named?.recipients.kind === 'good' ? this.#named.recipients.list : []
    if (this.#plan.filters?.begin(gathered.subarray(this.#header, length), named) === false)
      return this.#fail('long-header')
    this.#streaming = true
    this.#buffer = Buffer.allocUnsafeSlow(CONTENT_CHUNK)
    this.#used = 0
    this.#plan.signing?.push(gathered, this.#header, length)
    this.#forward(gathered, 0, length)
  }

  /** A large piece of a chunk leaves as it is: chunks are not used again by whoever read them. */
  #forward(chunk: Buffer, from: number, to: number): void {
    if (to - from >= LEAST_PIECE && to - from <= CONTENT_CHUNK) {
      if (this.#used > 0) this.#flush(false)
      return this.#send(chunk.subarray(from, to), false)
    }
    for (let at = from; at < to; ) {
      const piece = Math.min(to - at, CONTENT_CHUNK - this.#used)
      chunk.copy(this.#buffer, this.#used, at, at + piece)
      this.#used += piece
      at += piece
      if (this.#used === CONTENT_CHUNK) this.#flush(false)
    }
  }

  #flush(last: boolean): void {
    this.#send(this.#buffer.subarray(0, this.#used), last)
    if (!last) this.#buffer = Buffer.allocUnsafeSlow(CONTENT_CHUNK)
    this.#used = 0
  }

  /** These octets belong to the outlet from now on. */
  #send(octets: Buffer, last: boolean): void {
    const room = this.#sent === 0 ? this.#plan.room : 0
    this.#outlet.chunk(this.stream, octets, last, room)
    this.#sent += octets.length
    this.#credit -= octets.length
  }

  #fail(doom: Doom): void {
    if (this.#doom !== null) return
    this.#doom = doom
    if (this.#streaming && doom !== 'queue-lost') this.#outlet.abort(this.stream)
    this.release()
  }

  /** Looks at the header while it is all here. @param more content is still to come. */
  #inspect(more: boolean): void {
    const { bounds, framing, submission, utf8 } = this.#plan
    const start = this.#header
    const header = headerText(this.#buffer.subarray(start, this.#used))
    const fault = whyNotHeader(header, more, { bounds, utf8, binary: framing === 'octets' })
    if (fault) return this.#fail(fault)
    if (this.#seen?.nuls) this.#headerNuls = nulsOf(header)
    if (this.#plan.authentication) this.#makeRoom(this.#plan.authentication, header.text)
    if (!submission) return
    const completed = completeHeader(header.text, submission)
    if (completed.kind === 'refused') return this.#fail('author-refused')
    this.#named = completed.named
    if (completed.header !== null)
      this.#replace(start, completed.length, Buffer.from(completed.header, 'latin1'))
  }

  /** Nobody writes results in our name but us (RFC 8601 section 5). */
  #makeRoom(watch: AuthenticationWatch, header: string): void {
    const honest = withoutClaims(header, watch.origin.hostname)
    if (honest !== header) this.#replace(this.#header, header.length, Buffer.from(honest, 'latin1'))
    const room = Buffer.from(watch.reserve(), 'latin1')
    this.#replace(0, 0, room)
    this.#header += room.length
  }

  #replace(at: number, length: number, header: Buffer): void {
    const needed = this.#used + header.length - length
    if (needed > this.#buffer.length) this.#grow(needed)
    this.#buffer.copyWithin(at + header.length, at + length, this.#used)
    header.copy(this.#buffer, at)
    this.#used = needed
  }
}

const NONE = Buffer.alloc(0)
