/**
 * The Sender Rewriting Scheme of Shevek and Meng Wong, as Mail::SRS and libsrs2 have it: a reverse-path in another
 * domain becomes one of ours, which leads back to it. Pure.
 *
 *     ann@example.org               -> SRS0=HASH=TT=example.org=ann@OURS
 *     SRS0=HASH=TT=…@first.example  -> SRS1=HASH=first.example==HASH=TT=…@OURS     (and SRS1 keeps its first)
 *
 * HASH is the beginning of an HMAC (SHA-1, lower case, base64) of what follows, so that nobody else can make such an
 * address; TT is the day, modulo 1024, in base32. Addresses may come back in another case. A local part that would be
 * longer than 64 octets (RFC 5321 section 4.5.3.1.1) is not made. Secrets: the first is used, all are believed.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Address } from '../../../shared/smtp/address.ts'

const HASH_LENGTH = 4
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const DAYS = 1024
const DAY_MS = 86_400_000
/** A bounce that takes longer is none of ours any more. */
const MOST_DAYS = 21
const LONGEST_LOCAL = 64

const SRS0 = /^srs0[=+-]([^=]+)=([^=]+)=([^=]+)=(.+)$/i
const SRS1 = /^srs1[=+-]([^=]+)=([^=]+)=([=+-].+)$/i

export function isRewritten(local: string): boolean {
  return /^srs[01][=+-]/i.test(local)
}

/** Null: it cannot be, for it would be too long. @param now milliseconds since 1970. */
export function forward(
  { local, domain }: Address,
  ours: string,
  secret: string,
  now: number,
): Address | null {
  const made = rewritten(local, domain, secret, now)
  return Buffer.byteLength(made) > LONGEST_LOCAL ? null : { local: made, domain: ours }
}

function rewritten(local: string, domain: string, secret: string, now: number): string {
  const [, , first, rest] = SRS1.exec(local) ?? []
  if (first !== undefined && rest !== undefined) return `SRS1=${hashOf(secret, first, rest)}=${first}=${rest}`
  if (SRS0.test(local)) {
    const guarded = local.slice('SRS0'.length)
    return `SRS1=${hashOf(secret, domain, guarded)}=${domain}=${guarded}`
  }
  const day = dayOf(now)
  return `SRS0=${hashOf(secret, day, domain, local)}=${day}=${domain}=${local}`
}

/** What it stands for, still to be read as an address; null: we have not made it, or too long ago. */
export function backward(local: string, secrets: readonly string[], now: number): string | null {
  const [, hash0 = '', day = '', domain = '', user = ''] = SRS0.exec(local) ?? []
  if (hash0 !== '')
    return isFresh(day, now) && isOurs(hash0, secrets, day, domain, user) ? `${user}@${domain}` : null
  const [, hash1 = '', first = '', rest = ''] = SRS1.exec(local) ?? []
  if (hash1 === '' || !isOurs(hash1, secrets, first, rest)) return null
  return `SRS0${rest}@${first}`
}

function isOurs(hash: string, secrets: readonly string[], ...parts: string[]): boolean {
  const given = Buffer.from(hash.toLowerCase())
  return secrets.some((secret) => {
    const own = Buffer.from(hashOf(secret, ...parts).toLowerCase())
    return own.length === given.length && timingSafeEqual(own, given)
  })
}

function hashOf(secret: string, ...parts: string[]): string {
  const mac = createHmac('sha1', secret)
  for (const part of parts) mac.update(part.toLowerCase())
  return mac.digest('base64').slice(0, HASH_LENGTH)
}

function dayOf(now: number): string {
  const day = Math.floor(now / DAY_MS) % DAYS
  return BASE32.charAt(day >> 5) + BASE32.charAt(day & 31)
}

/** A day of the future is one of long ago. */
function isFresh(day: string, now: number): boolean {
  const digits = [...day.toUpperCase()].map((char) => BASE32.indexOf(char))
  if (digits.length !== 2 || digits.includes(-1)) return false
  const then = ((digits[0] ?? 0) << 5) + (digits[1] ?? 0)
  const age = (Math.floor(now / DAY_MS) - then + 2 * DAYS) % DAYS
  return age <= MOST_DAYS
}
