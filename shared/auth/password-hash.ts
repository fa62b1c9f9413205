/**
 * Stored passwords: what may stand in a password file, and whether a password fits.
 *
 *   $scrypt$ln=15,r=8,p=1$SALT$HASH        ours, what `posthorn passwd` writes (RFC 7914)
 *   {SCRAM-SHA-256}COUNT,SALT,STORED,SERVER  for SCRAM, in Dovecot's form (RFC 5802)
 *   $6$… $y$… $2b$… $5$… $1$…, {CRYPT}…    crypt(3), as in /etc/shadow
 *   {SSHA512}… {SHA256}… {PBKDF2}… {PLAIN}…  Dovecot's others; `.HEX` and `.B64` behind the name tell the encoding
 *
 * All slow work runs on threads, never in the event loop. Fails: `parseHash` gives null for what it does not know;
 * `matches` never throws. Parameters are bounded, so that no line of a file can stop the server.
 */
import { createHash, pbkdf2, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { deriveKeys, LEAST_ITERATIONS, MOST_ITERATIONS, prepared, type ScramKeys } from '../smtp/scram.ts'
import { matchesCrypt } from '../system/crypt.ts'

export type PasswordHash =
  | { kind: 'scrypt'; cost: number; blockSize: number; parallel: number; salt: Buffer; hash: Buffer }
  | { kind: 'scram'; keys: ScramKeys }
  | { kind: 'crypt'; text: string }
  | { kind: 'digest'; algorithm: string; hash: Buffer; salt: Buffer }
  | { kind: 'pbkdf2'; salt: string; rounds: number; hash: Buffer }
  | { kind: 'plain'; password: string }
  /** `!` and `*`: nobody gets in. */
  | { kind: 'locked' }

const MiB = 1 << 20
const runScrypt = promisify<string, Buffer, number, object, Buffer>(scrypt)
const runPbkdf2 = promisify(pbkdf2)

const SCRYPT = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)$/
const USUAL_COST = 15
const USUAL_BLOCK_SIZE = 8
const HASH_LENGTH = 32
const SALT_LENGTH = 16
/** Above RFC 7677's 4096, which is of 2015; what OWASP asks of PBKDF2 with SHA-256 would keep phones busy. */
const USUAL_ITERATIONS = 100_000

/** A line for the file, of 32 MiB and some 100 ms to whoever tries it. */
export async function makeScryptHash(password: string): Promise<string> {
  const salt = randomBytes(SALT_LENGTH)
  const options = { N: 2 ** USUAL_COST, r: USUAL_BLOCK_SIZE, p: 1, maxmem: 64 * MiB }
  const hash = await runScrypt(prepared(password), salt, HASH_LENGTH, options)
  const parameters = `ln=${USUAL_COST},r=${USUAL_BLOCK_SIZE},p=1`
  return `$scrypt$${parameters}$${salt.toString('base64')}$${hash.toString('base64')}`
}

export async function makeScramHash(password: string): Promise<string> {
  const keys = await deriveKeys(password, randomBytes(SALT_LENGTH), USUAL_ITERATIONS)
  const parts = [keys.salt, keys.storedKey, keys.serverKey].map((part) => part.toString('base64'))
  return `{SCRAM-SHA-256}${keys.iterations},${parts.join(',')}`
}

export function parseHash(text: string): PasswordHash | null {
  if (/^[!*]/.test(text)) return { kind: 'locked' }
  if (text.startsWith('$scrypt$')) return parseScrypt(text)
  if (text.startsWith('$')) return { kind: 'crypt', text }
  const [, scheme = '', encoding = '', rest = ''] =
    /^\{([A-Za-z0-9-]+)(?:\.([A-Za-z0-9]+))?\}(.*)$/.exec(text) ?? []
  return scheme === '' ? null : parseScheme(scheme.toUpperCase(), encoding.toUpperCase(), rest)
}

function parseScrypt(text: string): PasswordHash | null {
  const [, ln, r, p, salt = '', hash = ''] = SCRYPT.exec(text) ?? []
  const [cost, blockSize, parallel] = [Number(ln), Number(r), Number(p)]
  if (!(cost >= 1 && cost <= 18 && blockSize >= 1 && blockSize <= 16 && parallel >= 1 && parallel <= 4))
    return null
  return { kind: 'scrypt', cost, blockSize, parallel, salt: base64(salt), hash: base64(hash) }
}

const CRYPT_SCHEMES = ['CRYPT', 'MD5-CRYPT', 'SHA256-CRYPT', 'SHA512-CRYPT', 'BLF-CRYPT', 'DES-CRYPT']
const PLAIN_SCHEMES = ['PLAIN', 'CLEAR', 'CLEARTEXT']
/** Name of Dovecot's scheme to digest; with a salt where it begins with another S. */
const DIGESTS: Readonly<Record<string, string>> = {
  SHA: 'sha1',
  SHA1: 'sha1',
  SHA256: 'sha256',
  SHA512: 'sha512',
  SSHA: 'sha1',
  SSHA256: 'sha256',
  SSHA512: 'sha512',
  SMD5: 'md5',
  'LDAP-MD5': 'md5',
  'PLAIN-MD5': 'md5',
}
const LENGTHS: Readonly<Record<string, number>> = { md5: 16, sha1: 20, sha256: 32, sha512: 64 }
const SALTED = /^S(SHA|MD5)/

function parseScheme(scheme: string, encoding: string, rest: string): PasswordHash | null {
  if (scheme === 'SCRAM-SHA-256') return parseScram(rest)
  if (scheme === 'PBKDF2') return parsePbkdf2(rest)
  if (CRYPT_SCHEMES.includes(scheme)) return rest === '' ? null : { kind: 'crypt', text: rest }
  if (PLAIN_SCHEMES.includes(scheme)) return { kind: 'plain', password: rest }
  const algorithm = Object.hasOwn(DIGESTS, scheme) ? DIGESTS[scheme] : undefined
  if (algorithm === undefined) return null
  const hex = encoding === 'HEX' || (encoding === '' && scheme === 'PLAIN-MD5')
  const octets = hex ? Buffer.from(rest, 'hex') : base64(rest)
  const length = LENGTHS[algorithm] ?? 0
  const salt = octets.subarray(length)
  if (octets.length < length || salt.length > 0 !== SALTED.test(scheme)) return null
  return { kind: 'digest', algorithm, hash: octets.subarray(0, length), salt }
}

function parseScram(text: string): PasswordHash | null {
  const [count, salt = '', stored = '', server = '', ...more] = text.split(',')
  const iterations = Number(count)
  const keys = { iterations, salt: base64(salt), storedKey: base64(stored), serverKey: base64(server) }
  const sound = iterations >= LEAST_ITERATIONS && iterations <= MOST_ITERATIONS && keys.salt.length > 0
  const lengths = keys.storedKey.length === HASH_LENGTH && keys.serverKey.length === HASH_LENGTH
  return sound && lengths && more.length === 0 ? { kind: 'scram', keys } : null
}

function parsePbkdf2(text: string): PasswordHash | null {
  const [, salt = '', rounds, hash = ''] = /^\$1\$([^$]+)\$(\d{1,8})\$([0-9a-f]{40})$/i.exec(text) ?? []
  const sound = hash !== '' && Number(rounds) >= 1 && Number(rounds) <= MOST_ITERATIONS
  return sound ? { kind: 'pbkdf2', salt, rounds: Number(rounds), hash: Buffer.from(hash, 'hex') } : null
}

function base64(text: string): Buffer {
  return Buffer.from(text, 'base64')
}

/** Never throws; what cannot be computed does not match. */
export async function matches(stored: PasswordHash, password: string): Promise<boolean> {
  try {
    return await compare(stored, password)
  } catch {
    return false
  }
}

async function compare(stored: PasswordHash, password: string): Promise<boolean> {
  switch (stored.kind) {
    case 'scrypt': {
      const { cost, blockSize, parallel, salt, hash } = stored
      const maxmem = 128 * 2 ** cost * blockSize * 2 + MiB
      const options = { N: 2 ** cost, r: blockSize, p: parallel, maxmem }
      return same(await runScrypt(prepared(password), salt, hash.length, options), hash)
    }
    case 'scram': {
      const { salt, iterations, storedKey } = stored.keys
      return same((await deriveKeys(password, salt, iterations)).storedKey, storedKey)
    }
    case 'crypt':
      return matchesCrypt(password, stored.text)
    case 'digest': {
      const { algorithm, salt, hash } = stored
      return same(createHash(algorithm).update(password).update(salt).digest(), hash)
    }
    case 'pbkdf2':
      return same(
        await runPbkdf2(password, stored.salt, stored.rounds, stored.hash.length, 'sha1'),
        stored.hash,
      )
    case 'plain':
      return same(digestOf(stored.password), digestOf(password))
    case 'locked':
      return false
    default:
      return stored satisfies never
  }
}

/** Of one length, so that the comparison tells nothing. */
function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function same(one: Buffer, other: Buffer): boolean {
  return one.length > 0 && one.length === other.length && timingSafeEqual(one, other)
}
