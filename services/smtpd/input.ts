/**
 * The engine's parser, replaced: what a client sends goes through our line reader and our data parser.
 *
 * smtp-server's own takes a bare LF for the end of a command, lets bare CR and LF through in content, and crawls
 * through lines that need un-dotting; SMTPStream remains what the engine pipes a TLS socket into. One chunk is in
 * hand at a time: while the session cannot go on (replies owed, qmgr's credit used up, the client not reading),
 * the chunk stays here, `take`'s `next` is not called, and `resume` takes up the thread.
 */
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js'
import { LINE_LIMIT, type Line, LineReader } from '../../shared/smtp/line-reader.ts'

/** The session behind the input. */
export interface Owner {
  /** Content is expected, not commands. */
  readonly receiving: boolean
  /** Neither commands nor content can be taken now; `resume` follows. */
  readonly blocked: boolean
  /** Octets came; called before anything is done with them. */
  arrived(): void
  mayTake(line: Line): boolean
  takeLine(line: Line): void
  /** Returns where commands go on, or -1. */
  takeContent(chunk: Buffer, from: number): number
  /** All that is in hand has been looked at. */
  idle(): void
  /** The client will send nothing more. */
  ended(): void
}

/** After so many commands in one go others have a turn. */
const MOST_AT_ONCE = 100

export class Input extends SMTPStream {
  #owner: Owner | null = null
  readonly #lines = new LineReader()
  #chunk: Buffer | null = null
  #at = 0
  #line: Line | null = null
  #next: (() => void) | null = null
  #running = false
  /** The chunk is good only until `take` returns. */
  #borrowed = false

  /** The engine makes its parser before there is a session. */
  attach(owner: Owner, longestLine = LINE_LIMIT): void {
    this.#owner = owner
    this.#lines.limit = longestLine
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, next: () => void): void {
    this.take(chunk, next)
  }

  override _final(done: () => void): void {
    done()
    this.#owner?.ended()
  }

  /** A chunk is in hand that cannot be gone on with. */
  get stuck(): boolean {
    return this.#chunk !== null
  }

  /**
   * The only way in; no other chunk may come before `next` has been called.
   *
   * @param borrowed somebody else reads into that memory again: what is needed longer is copied, and so is content,
   * which goes its own ways.
   */
  take(chunk: Buffer, next: () => void, borrowed = false): void {
    this.#chunk = chunk
    this.#at = 0
    this.#next = next
    this.#borrowed = borrowed
    this.#owner?.arrived()
    this.resume()
    if (this.#chunk && this.#borrowed) this.#claim(this.#chunk)
  }

  #claim(chunk: Buffer): Buffer {
    const own = Buffer.from(chunk.subarray(this.#at))
    this.#chunk = own
    this.#at = 0
    this.#borrowed = false
    return own
  }

  /** Goes on with what is in hand, if anything is. */
  resume = (): void => {
    const owner = this.#owner
    if (this.#running || !owner || !this.#chunk) return
    this.#running = true
    const used = this.#run(owner, this.#chunk)
    this.#running = false
    const next = this.#next
    if (used) {
      this.#chunk = null
      this.#next = null
    }
    owner.idle()
    if (used) next?.()
  }

  /** True when the chunk is used up, or nobody wants it any more. */
  #run(owner: Owner, chunk: Buffer): boolean {
    for (let taken = 0; taken < MOST_AT_ONCE; ) {
      if (this.isClosed) return true
      if (owner.blocked) return false
      if (owner.receiving) {
        if (this.#at >= chunk.length) return true
        const own = this.#borrowed ? this.#claim(chunk) : chunk
        const end = owner.takeContent(own, this.#at)
        this.#at = end < 0 ? own.length : end
        if (own !== chunk) return this.#run(owner, own)
        continue
      }
      this.#line ??= this.#readLine(chunk)
      if (!this.#line) return true
      if (!owner.mayTake(this.#line)) return false
      const line = this.#line
      this.#line = null
      owner.takeLine(line)
      taken++
    }
    setImmediate(this.resume)
    return false
  }

  #readLine(chunk: Buffer): Line | null {
    if (this.#at >= chunk.length) return null
    this.#at = this.#lines.read(chunk, this.#at)
    return this.#lines.line
  }
}
