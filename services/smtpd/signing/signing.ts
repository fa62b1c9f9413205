/**
 * What this process signs with: the keys of its slice, or those of another smtpd, by way of qmgr (`sign`). What sessions
 * get is `sign`, which stays the same when the config changes. Next: `signer.ts`, `keyring.ts`.
 */
import type { Log } from '../../../shared/base/log.ts'
import type { Payload } from '../../../shared/bus/messages.ts'
import type { SmtpdSlice } from '../../../shared/config/slices.ts'
import type { Canonicalization } from '../../../shared/dkim/body-hash.ts'
import type { QueueBus } from '../queue-bus.ts'
import { Keyring } from './keyring.ts'
import { Publication } from './publication.ts'
import { type Sign, type Signed, signerBy, signerWith } from './signer.ts'

export type SigningBus = Pick<QueueBus, 'askText' | 'setSigner' | 'sign'>

export class Signing {
  readonly #log: Log
  readonly #bus: SigningBus
  readonly #publication: Publication
  #keyring: Keyring
  #sign: Sign

  constructor(slice: SmtpdSlice, bus: SigningBus, log: Log) {
    this.#log = log
    this.#bus = bus
    this.#keyring = new Keyring(slice.dkim, log)
    this.#sign = this.#signerFor(slice)
    this.#publication = new Publication(() => this.#keyring, bus.askText, log)
    bus.setSigner((question) => this.#answer(question))
  }

  readonly sign: Sign = (what) => this.#sign(what)

  /** The bus is up: keys are read, and held against DNS. */
  begin(): void {
    this.#publication.look()
  }

  reconfigure(slice: SmtpdSlice): void {
    this.#keyring = new Keyring(slice.dkim, this.#log)
    this.#sign = this.#signerFor(slice)
    this.begin()
  }

  #signerFor({ dkim, signing }: SmtpdSlice): Sign {
    if (dkim.length > 0 || !signing) return signerWith(this.#keyring, this.#log)
    return signerBy(this.#bus, signing.domains)
  }

  /** Another process asks, which has no keys. */
  async #answer({ header, relaxed, simple }: Payload<'sign'>): Promise<Signed> {
    const bodies = new Map<Canonicalization, Buffer>()
    if (relaxed) bodies.set('relaxed', Buffer.from(relaxed))
    if (simple) bodies.set('simple', Buffer.from(simple))
    const sign = signerWith(this.#keyring, this.#log)
    return sign({ header: Buffer.from(header).toString('latin1'), bodies: () => bodies })
  }

  /** Keys that are not in DNS as they are. */
  get unpublished(): number {
    return this.#publication.wrong
  }

  close(): void {
    this.#publication.close()
  }
}
