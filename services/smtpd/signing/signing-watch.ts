/**
 * What a signature needs of one message: its header as it will leave, and the hashes of its body.
 *
 * Content that is kept whole is looked at when it has ended, with no copy of it; content that is streamed goes through
 * `push` on its way, as it leaves. Filters may have changed either since: a header that came later takes the place of
 * the one that was seen. Pure but for hashing.
 */
import { BodyHash, type Canonicalization } from '../../../shared/dkim/body-hash.ts'
import { HeaderGatherer } from '../signature/header-gatherer.ts'
import type { Sign, Signed, ToSign } from './signer.ts'

/** Octets that are kept in front of streamed content: a dozen signatures of the longest keys. */
export const SIGNATURE_ROOM = 32 << 10

const BLANK_LINE = Buffer.from('\r\n\r\n')

type Hashes = ReadonlyMap<Canonicalization, BodyHash>

export class SigningWatch {
  readonly #how: readonly Canonicalization[]
  readonly #sign: Sign
  readonly #header = new HeaderGatherer()
  #hashes: Hashes | null = null

  constructor(how: readonly Canonicalization[], sign: Sign) {
    this.#how = how
    this.#sign = sign
  }

  /** Of content that is streamed, from its header on. */
  push(chunk: Buffer, from: number, to: number): void {
    let body = from
    if (!this.#hashes) {
      body = this.#header.push(chunk, from, to)
      if (body < 0) return
      this.#hashes = this.#begin()
    }
    for (const hash of this.#hashes.values()) hash.push(chunk, body, to)
  }

  /** @param content all of it, from its header on; what is needed of it is taken before this returns. */
  signWhole(content: Buffer): Promise<Signed> {
    const { headerEnd, bodyAt } = splitAt(content)
    const bodies = () => {
      const hashes = this.#begin()
      for (const hash of hashes.values()) hash.push(content, bodyAt)
      return digests(hashes)
    }
    return this.#sign({ header: content.toString('latin1', 0, headerEnd), bodies })
  }

  /** Content that was streamed; once only. @param changed its new header with the empty line, where there is one. */
  async signStreamed(changed: Buffer | null): Promise<Signed> {
    if (this.#header.tooLong) return { kind: 'none' }
    const header = changed ? changed.toString('latin1', 0, splitAt(changed).headerEnd) : this.#header.text()
    const signed = await this.#sign({ header, bodies: () => digests(this.#hashes ?? this.#begin()) })
    return signed.kind === 'signed' && signed.field.length > SIGNATURE_ROOM ? { kind: 'none' } : signed
  }

  #begin(): Hashes {
    return new Map(this.#how.map((how) => [how, new BodyHash(how)]))
  }
}

function digests(hashes: Hashes): ReturnType<ToSign['bodies']> {
  return new Map([...hashes].map(([how, hash]) => [how, hash.end().digest]))
}

/** Content may begin with the empty line, or have none. */
function splitAt(content: Buffer): { headerEnd: number; bodyAt: number } {
  if (content[0] === 13 && content[1] === 10) return { headerEnd: 0, bodyAt: 2 }
  const blank = content.indexOf(BLANK_LINE)
  if (blank < 0) return { headerEnd: content.length, bodyAt: content.length }
  return { headerEnd: blank + 2, bodyAt: blank + BLANK_LINE.length }
}
