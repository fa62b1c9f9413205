/**
 * Content for a host that takes less than it holds: 8-bit bodies encoded anew, part by part, for a host without 8BITMIME
 * (RFC 6152 section 3), and a watch that no header is beyond ASCII, for one without SMTPUTF8. Pure; piece by piece, so a
 * large message is never held.
 *
 * Text becomes quoted-printable, other bodies base64; what is encoded already, and what is 7bit by its own word and in
 * fact, stays as it is. The octets of a multipart/signed cannot be changed (RFC 1847 section 2.1), nor those of a message
 * with a DKIM signature: where they are beyond ASCII it has failed. So it has where a header, or a body in an encoding that
 * is not known, is. `trouble` then says why, and nothing that is given afterwards may be sent. What comes before the first part and behind the last is for nobody;
 * there an octet beyond ASCII becomes a question mark.
 *
 * Limits: a header past MOST_HEADER octets, and parts within parts past MOST_DEPTH, are trouble.
 */
import { isAscii } from 'node:buffer'
import type { Reply } from '../../shared/message/outcome.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import { Base64, type Encoder, QuotedPrintable } from './encoders.ts'
import { type Entity, encodedAs, readEntity } from './entity.ts'

const MOST_HEADER = 1 << 20
const MOST_DEPTH = 100
/** A line is taken in pieces once it is as long. */
const LONG_LINE = 4096
const LF = 10
const CR = 13
const HYPHEN = 45

/** Encodings that can be left for another. */
const CHANGEABLE: ReadonlySet<string> = new Set(['', '7bit', '8bit', 'binary'])

/** Where the walk is: in a header, in a body that is encoded, kept, kept and watched, or of no interest. */
type Place =
  | { kind: 'header'; of: 'top' | 'message' | 'part'; inDigest: boolean }
  | { kind: 'encode'; encoder: Encoder }
  | { kind: 'keep'; why: 'signed' | 'encoding' }
  | { kind: 'between' }

/** RFC 6376 section 5.3: a signature is of the body as it is. */
const DKIM = /^dkim-signature[ \t]*:/im

interface Enclosing {
  boundary: Buffer
  digest: boolean
}

/** convert: bodies too; watch: only headers are looked at, and all octets stay what they are. */
export type Mode = 'convert' | 'watch'

export class Downgrade {
  trouble: Reply | null = null
  readonly #mode: Mode
  #place: Place = { kind: 'header', of: 'top', inDigest: false }
  #header: string[] = []
  #headerOctets = 0
  #enclosing: Enclosing[] = []
  #partial: Buffer = Buffer.alloc(0)
  #atLineStart = true
  #out: Buffer[] = []
  readonly #put = (text: string) => void this.#out.push(Buffer.from(text, 'latin1'))

  constructor(mode: Mode) {
    this.#mode = mode
  }

  push(piece: Buffer): Buffer {
    const data = this.#partial.length > 0 ? Buffer.concat([this.#partial, piece]) : piece
    let start = 0
    for (let at = data.indexOf(LF); at >= 0 && !this.trouble; at = data.indexOf(LF, start)) {
      this.#line(data.subarray(start, at + 1))
      start = at + 1
    }
    let rest = data.subarray(start)
    if (rest.length > LONG_LINE) {
      // a CR may be half of a line end
      const cut = rest[rest.length - 1] === CR ? rest.length - 1 : rest.length
      this.#line(rest.subarray(0, cut))
      rest = rest.subarray(cut)
    }
    this.#partial = Buffer.from(rest)
    return this.#given(piece)
  }

  end(): Buffer {
    if (this.#partial.length > 0) this.#line(this.#partial)
    this.#partial = Buffer.alloc(0)
    // content that is only a header
    if (this.#place.kind === 'header') this.#put(this.#header.join(''))
    else this.#leave(true)
    return this.#given(Buffer.alloc(0))
  }

  #given(original: Buffer): Buffer {
    const out = this.#mode === 'watch' ? original : Buffer.concat(this.#out)
    this.#out = []
    return out
  }

  /** A whole line with its end, or a piece of one. */
  #line(line: Buffer): void {
    const whole = line[line.length - 1] === LF && line[line.length - 2] === CR
    const first = this.#atLineStart
    this.#atLineStart = whole
    if (first && line[0] === HYPHEN && line[1] === HYPHEN && this.#atBoundary(line)) return
    const { kind } = this.#place
    if (kind === 'header') return this.#headerLine(line, first)
    if (kind === 'encode') return this.#encode(this.#place.encoder, line, whole)
    if (kind === 'between') return this.#put(line.toString('latin1').replace(/[\x80-\xff]/g, '?'))
    if (this.#mode === 'convert' && !isAscii(line)) this.#fail(this.#place.why)
    this.#out.push(line)
  }

  #encode(encoder: Encoder, line: Buffer, whole: boolean): void {
    encoder.push(whole ? line.subarray(0, -2) : line)
    if (whole) encoder.lineEnd()
  }

  #headerLine(line: Buffer, first: boolean): void {
    if (!isAscii(line)) return this.#fail('header')
    this.#headerOctets += line.length
    if (this.#headerOctets > MOST_HEADER) return this.#fail('size')
    const text = line.toString('latin1')
    if (!(first && (text === '\r\n' || text === '\n'))) return void this.#header.push(text)
    this.#headerEnd()
    this.#put('\r\n')
  }

  #headerEnd(): void {
    if (this.#place.kind !== 'header') return
    const { of, inDigest } = this.#place
    const header = this.#header.join('')
    this.#header = []
    this.#headerOctets = 0
    const entity = readEntity(header, inDigest)
    if (this.#enclosing.length >= MOST_DEPTH) return this.#fail('size')
    // what says 7bit is believed where it is one of many
    const sealed = of === 'top' && this.#mode === 'convert' && DKIM.test(header)
    const kept = !CHANGEABLE.has(entity.encoding) || (entity.encoding === '7bit' && of !== 'top')
    if (!sealed && (entity.kind === 'multipart' || entity.kind === 'message'))
      this.#beginComposite(header, entity)
    else if (sealed || entity.kind === 'signed' || entity.kind === 'opaque' || kept) {
      this.#place = { kind: 'keep', why: sealed || entity.kind === 'signed' ? 'signed' : 'encoding' }
      this.#put(header)
    } else this.#beginLeaf(header, entity.kind === 'text', of !== 'part')
  }

  #beginComposite(header: string, { kind, boundary, digest, encoding }: Entity): void {
    this.#put(encoding === '8bit' || encoding === 'binary' ? encodedAs(header, '7bit', false) : header)
    this.#place =
      kind === 'message' ? { kind: 'header', of: 'message', inDigest: false } : { kind: 'between' }
    if (boundary !== null) this.#enclosing.push({ boundary: Buffer.from(`--${boundary}`, 'latin1'), digest })
  }

  #beginLeaf(header: string, text: boolean, isMessage: boolean): void {
    this.#put(encodedAs(header, text ? 'quoted-printable' : 'base64', isMessage))
    this.#place = { kind: 'encode', encoder: text ? new QuotedPrintable(this.#put) : new Base64(this.#put) }
  }

  /** RFC 2046 section 5.1.1: the boundary, perhaps two hyphens, white space; of any multipart that is open. */
  #atBoundary(line: Buffer): boolean {
    for (let depth = this.#enclosing.length - 1; depth >= 0; depth--) {
      const { boundary, digest } = this.#enclosing[depth] ?? { boundary: line, digest: false }
      if (!line.subarray(0, boundary.length).equals(boundary)) continue
      const rest = line.toString('latin1', boundary.length)
      if (!/^(--)?[ \t]*(\r?\n)?$/.test(rest)) continue
      this.#leave(false)
      const closed = rest.startsWith('--')
      this.#enclosing.length = closed ? depth : depth + 1
      this.#place = closed ? { kind: 'between' } : { kind: 'header', of: 'part', inDigest: digest }
      this.#out.push(line)
      return true
    }
    return false
  }

  #leave(nothingFollows: boolean): void {
    const { kind } = this.#place
    if (kind === 'encode') this.#place.encoder.end(nothingFollows)
    if (kind === 'header') this.#put(this.#header.join(''))
    this.#header = []
    this.#headerOctets = 0
  }

  #fail(why: keyof typeof TROUBLES): void {
    this.trouble ??= TROUBLES[why]
  }
}

const TROUBLES = {
  signed: own(
    554,
    '5.6.3',
    'the next host does not take 8BITMIME, and what is signed cannot be encoded anew',
  ),
  encoding: own(
    554,
    '5.6.3',
    'the next host does not take 8BITMIME, and a part has octets that its header denies',
  ),
  header: own(550, '5.6.7', 'the next host does not take SMTPUTF8, and a header is beyond ASCII'),
  size: own(
    554,
    '5.6.3',
    'the next host does not take 8BITMIME, and the message is too involved to be encoded anew',
  ),
} as const
