/**
 * DKIM-Signature fields (RFC 6376, RFC 8463) as they are made: what is to be signed, and the field that comes of it.
 * Pure; who has the key signs, at once or on another thread.
 *
 * From, To, Cc, Subject, Date and what else a reader goes by are oversigned: named once more than they are there, so
 * that nobody can add one. Trace fields, which every relay adds to, are not signed; all else that readers and their
 * programs go by is, where it is there. `l=` is never written, and `i=` is left out, which makes it the domain's.
 * Next: `fields.ts`, `body-hash.ts`.
 */
import { createHash, type KeyObject, sign } from 'node:crypto'
import type { Canonicalization } from './body-hash.ts'
import { type HeaderField, signedHeader } from './fields.ts'

/** RFC 6376 section 8.15. */
const OVERSIGNED: ReadonlySet<string> = new Set([
  'from',
  'to',
  'cc',
  'subject',
  'date',
  'reply-to',
  'message-id',
  'in-reply-to',
  'references',
  'mime-version',
  'content-type',
  'content-transfer-encoding',
])
/** RFC 6376 section 5.4.1. */
const SIGNED = [
  ...OVERSIGNED,
  'sender',
  'content-disposition',
  'content-language',
  'resent-date',
  'resent-from',
  'resent-to',
  'resent-cc',
  'resent-message-id',
  'list-id',
  'list-help',
  'list-unsubscribe',
  'list-unsubscribe-post',
  'list-subscribe',
  'list-post',
  'list-owner',
  'list-archive',
]
const LINE = 72

export interface Signer {
  /** In A-labels. */
  domain: string
  selector: string
  /** RSA or Ed25519. */
  key: KeyObject
}

export interface Times {
  /** Seconds since 1970. */
  signedAt: number
  /** Null: never. */
  expires: number | null
}

export interface Canonicalizations {
  header: Canonicalization
  body: Canonicalization
}

export interface Unsigned {
  /** The field up to its `b=`. */
  text: string
  /** What the signature is of. */
  data: Buffer
}

/** @param bodyHash of the body in the canonicalization named. */
export function unsignedField(
  fields: readonly HeaderField[],
  { domain, selector, key }: Signer,
  { header, body }: Canonicalizations,
  { signedAt, expires }: Times,
  bodyHash: Buffer,
): Unsigned {
  const names = namesToSign(fields)
  const tags = [
    'v=1',
    `a=${algorithmOf(key)}`,
    `c=${header}/${body}`,
    `d=${domain}`,
    `s=${selector}`,
    `t=${signedAt}`,
    ...(expires === null ? [] : [`x=${expires}`]),
    `h=${names.join(':')}`,
    `bh=${bodyHash.toString('base64')}`,
    'b=',
  ]
  const text = fold(`DKIM-Signature: ${tags.join('; ')}`)
  return {
    text,
    data: signedHeader(fields, names, { name: 'dkim-signature', raw: `${text}\r\n` }, header),
  }
}

/** With its line end. */
export function signedField({ text }: Unsigned, signature: Buffer): string {
  const lines = signature.toString('base64').match(new RegExp(`.{1,${LINE}}`, 'g')) ?? []
  return `${text}${lines.map((line) => `\r\n ${line}`).join('')}\r\n`
}

/** An RSA key takes its time, about half a millisecond with 2048 bits. */
export function signatureOf(key: KeyObject, data: Buffer): Buffer {
  return isEd25519(key) ? sign(null, digestOf(data), key) : sign('sha256', data, key)
}

/** The same, on another thread where it takes its time. */
export function signatureLater(key: KeyObject, data: Buffer): Promise<Buffer> {
  if (isEd25519(key)) return Promise.resolve(signatureOf(key, data))
  return new Promise((resolve, reject) => {
    sign('sha256', data, key, (error, signature) => (error ? reject(error) : resolve(signature)))
  })
}

/** RFC 8463 section 3: Ed25519 signs the hash. */
function digestOf(data: Buffer): Buffer {
  return createHash('sha256').update(data).digest()
}

function isEd25519({ asymmetricKeyType }: KeyObject): boolean {
  return asymmetricKeyType === 'ed25519'
}

/** As often as each is there, and once more where it is oversigned. */
export function namesToSign(fields: readonly HeaderField[]): string[] {
  const there = new Map<string, number>()
  for (const { name } of fields) there.set(name, (there.get(name) ?? 0) + 1)
  return SIGNED.flatMap((name) =>
    new Array<string>((there.get(name) ?? 0) + (OVERSIGNED.has(name) ? 1 : 0)).fill(name),
  )
}

function algorithmOf(key: KeyObject): 'rsa-sha256' | 'ed25519-sha256' {
  return isEd25519(key) ? 'ed25519-sha256' : 'rsa-sha256'
}

/** Between tags, and between the names of `h=`: what is signed is the folded field, so nothing depends on it. */
function fold(text: string): string {
  const lines = ['']
  for (const part of text.split(/(?<=; )|(?<=:)(?=[a-z])/)) {
    const line = lines.at(-1) ?? ''
    if (line.length + part.length > LINE && line.trim() !== '') lines.push(` ${part}`)
    else lines[lines.length - 1] = line + part
  }
  return lines.map((line) => line.trimEnd()).join('\r\n')
}
