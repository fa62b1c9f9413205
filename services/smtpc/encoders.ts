/**
 * Content transfer encodings, piece by piece: quoted-printable and base64 (RFC 2045 sections 6.7 and 6.8), in lines of
 * at most 76 octets that end in CRLF. Pure.
 */

/** Takes lines, or pieces of one, and says where a line ends. */
export interface Encoder {
  push: (octets: Buffer) => void
  lineEnd: () => void
  /** What is left. The last line end belongs to the boundary that follows, unless nothing follows. */
  end: (nothingFollows: boolean) => void
}

type Put = (text: string) => void

const LONGEST_LINE = 76
const HEX = Array.from({ length: 256 }, (_, n) => `=${n.toString(16).toUpperCase().padStart(2, '0')}`)
const EQUALS = 61
const SPACE = 32
const TAB = 9

function isPlain(octet: number): boolean {
  return octet >= 33 && octet <= 126 && octet !== EQUALS
}

/** A blank waits until it is known that it does not end its line. */
export class QuotedPrintable implements Encoder {
  readonly #put: Put
  #column = 0
  #blank: number | null = null

  constructor(put: Put) {
    this.#put = put
  }

  push(octets: Buffer): void {
    let text = ''
    for (const octet of octets) {
      if (this.#blank !== null) text += this.#fit(String.fromCharCode(this.#blank))
      this.#blank = octet === SPACE || octet === TAB ? octet : null
      if (this.#blank === null)
        text += this.#fit(isPlain(octet) ? String.fromCharCode(octet) : (HEX[octet] ?? ''))
    }
    if (text) this.#put(text)
  }

  lineEnd(): void {
    this.#endBlank()
    this.#put('\r\n')
    this.#column = 0
  }

  /** The last line end is there already. */
  end(): void {
    this.#endBlank()
  }

  #endBlank(): void {
    if (this.#blank !== null) this.#put(this.#fit(HEX[this.#blank] ?? ''))
    this.#blank = null
  }

  #fit(piece: string): string {
    const soft = this.#column + piece.length >= LONGEST_LINE // leaves room for the = of a soft break
    this.#column = (soft ? 0 : this.#column) + piece.length
    return soft ? `=\r\n${piece}` : piece
  }
}

const LINE_OCTETS = 57
const CRLF = Buffer.from('\r\n')

/** A line end is content only when more follows: the last one belongs to the boundary. */
export class Base64 implements Encoder {
  readonly #put: Put
  #rest: Buffer = Buffer.alloc(0)
  #lineEnded = false

  constructor(put: Put) {
    this.#put = put
  }

  push(octets: Buffer): void {
    if (this.#lineEnded) this.#take(CRLF)
    this.#lineEnded = false
    this.#take(octets)
  }

  lineEnd(): void {
    if (this.#lineEnded) this.#take(CRLF)
    this.#lineEnded = true
  }

  end(nothingFollows: boolean): void {
    if (nothingFollows && this.#lineEnded) this.#take(CRLF)
    if (this.#rest.length > 0) this.#put(`${this.#rest.toString('base64')}\r\n`)
    this.#rest = Buffer.alloc(0)
    this.#lineEnded = false
  }

  #take(octets: Buffer): void {
    let data = this.#rest.length > 0 ? Buffer.concat([this.#rest, octets]) : octets
    let text = ''
    for (; data.length >= LINE_OCTETS; data = data.subarray(LINE_OCTETS))
      text += `${data.toString('base64', 0, LINE_OCTETS)}\r\n`
    this.#rest = data
    if (text) this.#put(text)
  }
}
