/**
 * Makes DKIM-Signature fields (RFC 6376, RFC 8463), relaxed in header and body: pure but for the hashing.
 *
 * The body goes through `push` at any split and is not kept; `sign` wants the header's fields as they will leave.
 * From, To, Cc, Subject, Date and Reply-To are oversigned: named once more than they are there, so that nobody can
 * add one. Trace fields, which every relay adds to, are not signed; all else that readers and
 * their programs go by is, where it is there.
 */
import { createHash, type KeyObject, sign as signWith } from 'node:crypto'
import { BodyHash } from '../../shared/dkim/body-hash.ts'
import { type HeaderField, signedHeader } from '../../shared/dkim/fields.ts'

/** RFC 6376 section 8.15. */
const OVERSIGNED = ['from', 'to', 'cc', 'subject', 'date', 'reply-to']
/** RFC 6376 section 5.4.1. */
const SIGNED = [
  ...OVERSIGNED,
  'sender',
  'message-id',
  'in-reply-to',
  'references',
  'mime-version',
  'content-type',
  'content-transfer-encoding',
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

export class DkimSigner {
  readonly #body = new BodyHash('relaxed')

  push(octets: Uint8Array): void {
    this.#body.push(octets)
  }

  /** One field for each signer, with its line end; after the last piece of the body, and once only. */
  sign(fields: readonly HeaderField[], signers: readonly Signer[], times: Times): string {
    const bodyHash = this.#body.end().digest.toString('base64')
    return signers.map((signer) => signField(fields, signer, times, bodyHash)).join('')
  }
}

function signField(fields: readonly HeaderField[], signer: Signer, times: Times, bodyHash: string): string {
  const names = namesToSign(fields)
  const tags = [
    'v=1',
    `a=${algorithmOf(signer.key)}`,
    'c=relaxed/relaxed',
    `d=${signer.domain}`,
    `s=${signer.selector}`,
    `t=${times.signedAt}`,
    ...(times.expires === null ? [] : [`x=${times.expires}`]),
    `h=${names.join(':')}`,
    `bh=${bodyHash}`,
    'b=',
  ]
  const unsigned = fold(`DKIM-Signature: ${tags.join('; ')}`)
  const data = signedHeader(fields, names, { name: 'dkim-signature', raw: `${unsigned}\r\n` }, 'relaxed')
  return `${unsigned}${foldedSignature(signatureOf(signer.key, data))}\r\n`
}

/** As often as each is there, and once more where it is oversigned. */
export function namesToSign(fields: readonly HeaderField[]): string[] {
  return SIGNED.flatMap((name) => {
    const there = fields.filter((field) => field.name === name).length
    return new Array<string>(there + (OVERSIGNED.includes(name) ? 1 : 0)).fill(name)
  })
}

function algorithmOf({ asymmetricKeyType }: KeyObject): 'rsa-sha256' | 'ed25519-sha256' {
  return asymmetricKeyType === 'ed25519' ? 'ed25519-sha256' : 'rsa-sha256'
}

function signatureOf(key: KeyObject, data: Buffer): string {
  if (key.asymmetricKeyType !== 'ed25519') return signWith('sha256', data, key).toString('base64')
  // RFC 8463 section 3: it signs the hash
  return signWith(null, createHash('sha256').update(data).digest(), key).toString('base64')
}

/** Between tags, and between the names of `h=`: relaxed canonicalization makes a space of each fold. */
function fold(text: string): string {
  const lines = ['']
  for (const part of text.split(/(?<=; )|(?<=:)(?=[a-z])/)) {
    const line = lines.at(-1) ?? ''
    if (line.length + part.length > LINE && line.trim() !== '') lines.push(` ${part}`)
    else lines[lines.length - 1] = line + part
  }
  return lines.map((line) => line.trimEnd()).join('\r\n')
}

function foldedSignature(base64: string): string {
  return (base64.match(new RegExp(`.{1,${LINE}}`, 'g')) ?? []).map((line) => `\r\n ${line}`).join('')
}
