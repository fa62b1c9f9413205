/**
 * What age and gpg have in common: octets go in, ciphertext in ASCII comes out at `sink`, line by line or in larger
 * pieces. What goes wrong is told once, by `end`; after that pieces are taken and dropped.
 */

/** A key that is missing, expired or no key, or a program that does not do its work. */
export class KeyTrouble extends Error {
  override name = 'KeyTrouble'
}

export interface Cipher {
  push: (octets: Uint8Array) => void
  /** Resolves when all that was pushed is taken, so that more may come; null when it is already. Never rejects. */
  pending: () => Promise<void> | null
  /** Resolves when the last ciphertext has been given to `sink`; rejects with what went wrong, `sink`'s own error too. */
  end: () => Promise<void>
  /** Nothing of it is wanted any more. */
  abort: () => void
}

export type Sink = (ciphertext: Uint8Array) => void
