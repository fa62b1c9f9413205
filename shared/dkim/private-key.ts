/** Private keys for DKIM as they are kept: PEM, or the bare 32 octets of an Ed25519 key in base64, as opendkim's tools have it. Pure. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'

/** The form around a bare Ed25519 key (RFC 8410 section 7). */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')
const ED25519_OCTETS = 32

/** Null: none that signs mail, or an RSA key with fewer bits. */
export function readPrivateKey(text: string, leastBits: number): KeyObject | null {
  try {
    const bare = Buffer.from(text.trim(), 'base64')
    const key =
      bare.length === ED25519_OCTETS && !text.includes('-----')
        ? createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, bare]), format: 'der', type: 'pkcs8' })
        : createPrivateKey(text)
    if (key.asymmetricKeyType === 'ed25519') return key
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
    return key.asymmetricKeyType === 'rsa' && bits >= leastBits ? key : null
  } catch {
    return null
  }
}

/** The record that publishes it (RFC 6376 section 3.6.1, RFC 8463 section 4). */
export function keyRecord(key: KeyObject): string {
  const rsa = key.asymmetricKeyType === 'rsa'
  return `v=DKIM1; k=${rsa ? 'rsa' : 'ed25519'}; p=${publicOctets(key).toString('base64')}`
}

/** Whether a TXT record publishes this key: its `p=` says the same, however the rest is written. */
export function isRecordOf(record: string, key: KeyObject): boolean {
  const [, value = ''] = /(?:^|;)\s*p\s*=([^;]*)/.exec(record) ?? []
  const octets = Buffer.from(value.replace(/\s/g, ''), 'base64')
  return octets.length > 0 && octets.equals(publicOctets(key))
}

/** Of Ed25519 the last 32 octets are the key itself. */
function publicOctets(key: KeyObject): Buffer {
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' })
  return key.asymmetricKeyType === 'rsa' ? spki : spki.subarray(-ED25519_OCTETS)
}
