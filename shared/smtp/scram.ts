/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677): keys, proofs and the grammar of its messages, for either side. Pure but for
 * the work of PBKDF2, which runs on libuv's threads and not in the event loop.
 *
 * The one who knows the password makes keys with `deriveKeys`; a server stores `ScramKeys` and never the password.
 * Fails: parsers give null for what is no SCRAM message; nothing throws.
 * Limits: iterations 4096 (RFC 7677 section 4) to MOST_ITERATIONS, so that no peer can order hours of work.
 */
import { createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

const HASH = 'sha256'
const KEY_LENGTH = 32
export const LEAST_ITERATIONS = 4096
export const MOST_ITERATIONS = 5_000_000

const derive = promisify(pbkdf2)

/** What a server keeps of a password. */
export interface ScramKeys {
  iterations: number
  salt: Buffer
  storedKey: Buffer
  serverKey: Buffer
}

/** For the client: its own key besides. */
export interface DerivedKeys extends ScramKeys {
  clientKey: Buffer
}

export async function deriveKeys(password: string, salt: Buffer, iterations: number): Promise<DerivedKeys> {
  const salted = await derive(prepared(password), salt, iterations, KEY_LENGTH, HASH)
  const clientKey = hmac(salted, 'Client Key')
  const storedKey = createHash(HASH).update(clientKey).digest()
  return { iterations, salt, clientKey, storedKey, serverKey: hmac(salted, 'Server Key') }
}

/** RFC 5802 section 3: what both sides sign, from the messages as they were sent. */
export function authMessage(clientFirstBare: string, serverFirst: string, clientFinalBare: string): string {
  return `${clientFirstBare},${serverFirst},${clientFinalBare}`
}

export function clientProof({ clientKey, storedKey }: DerivedKeys, message: string): Buffer {
  return xor(clientKey, hmac(storedKey, message))
}

export function isProof(keys: ScramKeys, message: string, proof: Buffer): boolean {
  if (proof.length !== KEY_LENGTH) return false
  const clientKey = xor(proof, hmac(keys.storedKey, message))
  return timingSafeEqual(createHash(HASH).update(clientKey).digest(), keys.storedKey)
}

/** The server's proof that it knows the keys too, `v=`. */
export function serverSignature({ serverKey }: ScramKeys, message: string): Buffer {
  return hmac(serverKey, message)
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac(HASH, key).update(text).digest()
}

function xor(one: Buffer, other: Buffer): Buffer {
  return Buffer.from(one.map((octet, n) => octet ^ (other[n] ?? 0)))
}

/** SASLprep (RFC 4013) as far as it changes what people type: NFKC, odd spaces made plain, invisible marks dropped. */
export function prepared(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text
  const mapped = text.replace(/[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g, ' ')
  return mapped.replace(/\p{Default_Ignorable_Code_Point}/gu, '').normalize('NFKC')
}

// --- messages

/** `n=`, `r=`, `c=` …: one letter and a value that goes on to the next comma. */
export function attribute(message: string, letter: string): string | null {
  const part = message.split(',').find((one) => one.startsWith(`${letter}=`))
  return part === undefined ? null : part.slice(2)
}

/** RFC 5802 section 5.1: a name in a message. */
export function encodeName(name: string): string {
  return prepared(name).replace(/[=,]/g, (mark) => (mark === '=' ? '=3D' : '=2C'))
}

/** Null when the text is no name. */
export function decodeName(text: string): string | null {
  if (/=(?!2C|3D)/.test(text)) return null
  return text.replace(/=2C/g, ',').replace(/=3D/g, '=')
}

/** How the client sees channel binding: it cannot, it could but the server does not, or it uses this one. */
export type Binding = { kind: 'none' } | { kind: 'unused' } | { kind: 'used'; name: string }

export interface ClientFirst {
  /** To the second comma, itself too: what `c=` of the final message begins with. */
  header: string
  binding: Binding
  /** Whom to act as; '' for oneself. */
  authzid: string
  bare: string
  name: string
  nonce: string
}

const CLIENT_FIRST =
  /^((?:([ny])|p=([A-Za-z0-9.-]+)),(?:a=([^,]+))?,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/s

export function parseClientFirst(text: string): ClientFirst | null {
  const [, header, flag, used, whom, bare, rawName, nonce] = CLIENT_FIRST.exec(text) ?? []
  if (header === undefined || bare === undefined || rawName === undefined || nonce === undefined) return null
  const name = decodeName(rawName)
  const authzid = decodeName(whom ?? '')
  if (name === null || authzid === null) return null
  const binding: Binding = used ? { kind: 'used', name: used } : { kind: flag === 'y' ? 'unused' : 'none' }
  return { header, binding, authzid, bare, name, nonce }
}

export interface ServerFirst {
  nonce: string
  salt: Buffer
  iterations: number
}

/** RFC 5802 section 5.1: an extension that must be understood (`m=`) is not. */
export function parseServerFirst(text: string): ServerFirst | null {
  const [, nonce, salt, count] =
    /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})(?:,.*)?$/s.exec(text) ?? []
  const iterations = Number(count)
  if (nonce === undefined || salt === undefined) return null
  if (!(iterations >= LEAST_ITERATIONS && iterations <= MOST_ITERATIONS)) return null
  return { nonce, salt: Buffer.from(salt, 'base64'), iterations }
}

export function renderServerFirst({ nonce, salt, iterations }: ServerFirst): string {
  return `r=${nonce},s=${salt.toString('base64')},i=${iterations}`
}

export interface ClientFinal {
  /** Without the proof: what is signed. */
  bare: string
  /** Header and binding data, decoded. */
  binding: Buffer
  nonce: string
  proof: Buffer
}

export function parseClientFinal(text: string): ClientFinal | null {
  const [, bare, binding, nonce, proof] =
    /^(c=([A-Za-z0-9+/=]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?),p=([A-Za-z0-9+/=]+)$/s.exec(text) ?? []
  if (bare === undefined || binding === undefined || nonce === undefined || proof === undefined) return null
  return { bare, binding: Buffer.from(binding, 'base64'), nonce, proof: Buffer.from(proof, 'base64') }
}
