/** A key pair for DKIM, and the record that publishes it (RFC 6376 section 3.6.1, RFC 8463 section 4). */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'

export interface SigningKey {
  key: KeyObject
  /** PKCS #8, PEM. */
  pem: string
  record: string
}

export function signingKey(kind: 'rsa' | 'ed25519'): SigningKey {
  const { privateKey, publicKey } =
    kind === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519')
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  // the last 32 octets are the key itself
  const octets = kind === 'rsa' ? spki : spki.subarray(-32)
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  return { key: privateKey, pem, record: `v=DKIM1; k=${kind}; p=${octets.toString('base64')}` }
}
