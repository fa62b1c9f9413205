/**
 * Signs a message that is not kept (RFC 6376): the body goes through `push` at any split, `sign` wants the header's
 * fields as they will leave. Relaxed in header and body. Next: `shared/dkim/signature-field.ts`.
 */
import { BodyHash } from '../../shared/dkim/body-hash.ts'
import type { HeaderField } from '../../shared/dkim/fields.ts'
import {
  type Signer,
  signatureOf,
  signedField,
  type Times,
  unsignedField,
} from '../../shared/dkim/signature-field.ts'

const RELAXED = { header: 'relaxed', body: 'relaxed' } as const

export class DkimSigner {
  readonly #body = new BodyHash('relaxed')

  push(octets: Uint8Array): void {
    this.#body.push(octets)
  }

  /** One field for each signer, with its line end; after the last piece of the body, and once only. */
  sign(fields: readonly HeaderField[], signers: readonly Signer[], times: Times): string {
    const bodyHash = this.#body.end().digest
    const signed = signers.map((signer) => {
      const unsigned = unsignedField(fields, signer, RELAXED, times, bodyHash)
      return signedField(unsigned, signatureOf(signer.key, unsigned.data))
    })
    return signed.join('')
  }
}
