/**
 * DKIM signatures for what has no smtpd behind it: reports of our own, and, where the config wants that, what the smtpd
 * for strangers relays. The keys are with the smtpd for users; qmgr passes the question on, and has no part in the answer
 * but to see that it is nothing else than DKIM-Signature fields.
 *
 * Never rejects. A report that cannot be signed goes without: it is better heard than trusted.
 */

import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import { BodyHash } from '../../shared/dkim/body-hash.ts'

export interface SignaturesOptions {
  slice: () => Pick<QmgrSlice, 'signing'>
  peers: () => Iterable<Peer>
  log: Log
}

const FIELDS = /^(?:DKIM-Signature: [\x20-\x7e]*\r\n(?:[ \t][\x20-\x7e]*\r\n)*)+$/
const FAILED: Answer<'sign'> = { kind: 'failed' }
const BLANK_LINE = Buffer.from('\r\n\r\n')

export class Signatures {
  readonly #options: SignaturesOptions
  #turn = 0

  constructor(options: SignaturesOptions) {
    this.#options = options
  }

  /** For the smtpd for strangers. */
  async pass(question: Payload<'sign'>): Promise<Answer<'sign'>> {
    return this.#options.slice().signing?.relayed ? this.#ask(question) : FAILED
  }

  /** @param content a report, whole; the same with its signatures on top. */
  async signed(content: Buffer): Promise<Buffer> {
    const { signing } = this.#options.slice()
    const end = content.indexOf(BLANK_LINE)
    if (!signing || end < 0) return content
    const hashes = signing.bodies.map((how) => {
      const hash = new BodyHash(how)
      hash.push(content, end + BLANK_LINE.length)
      return [how, hash.end().digest] as const
    })
    const answer = await this.#ask({ header: content.subarray(0, end + 2), ...Object.fromEntries(hashes) })
    if (answer.kind === 'failed') this.#options.log.warn({}, 'a report could not be signed')
    return answer.kind === 'signed' ? Buffer.concat([Buffer.from(answer.field), content]) : content
  }

  async #ask(question: Payload<'sign'>): Promise<Answer<'sign'>> {
    const signer = this.#signer()
    if (!signer) return FAILED
    const answer = await signer.request('sign', question).catch(() => FAILED)
    return answer.kind === 'signed' && !FIELDS.test(answer.field) ? FAILED : answer
  }

  /** By its user, where processes have users of their own: a name says nothing. */
  #signer(): Peer | null {
    const wanted = this.#options.slice().signing?.uid ?? null
    const able = [...this.#options.peers()].filter(
      ({ credentials, identity }) =>
        identity?.role === 'smtpd' &&
        identity.name.startsWith('submission-') &&
        (wanted === null || credentials?.uid === wanted),
    )
    return able[this.#turn++ % Math.max(able.length, 1)] ?? null
  }
}
