/**
 * TLS contexts for connections to others: whom to trust, and who we are. Files are read when a connection needs
 * them: what the config names once, a certificate of ours again when it has changed.
 *
 * Fails: with an Error that says which file, never by throwing.
 */

import type { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import type { Good, Shown } from './judgement.ts'
import type { Way } from './way.ts'

type Identity = NonNullable<Way['identity']>

let nobody: SecureContext | null = null
let trusting: SecureContext | null = null
const known = new Map<string, { version: string; context: SecureContext }>()

/** @param verified whether the other side has to prove who it is, to whom `caFile` names or Node comes with. */
export function contextFor(
  identity: Way['identity'],
  verified: boolean,
  caFile: string | null,
): SecureContext | Error {
  if (identity) return identifiedContext(identity, verified, caFile)
  if (verified) return trustingContext(caFile)
  // where nothing is verified the many root certificates need not be loaded
  nobody ??= createSecureContext({ ca: [] })
  return nobody
}

/** Whoever the file names is trusted, or without one those that Node comes with. */
function trustingContext(caFile: string | null): SecureContext | Error {
  if (caFile === null) {
    trusting ??= createSecureContext()
    return trusting
  }
  try {
    return remembered(caFile, [caFile], () => createSecureContext({ ca: readFileSync(caFile) }))
  } catch (error) {
    return new Error(`ca-file cannot be used: ${reasonOf(error)}`)
  }
}

/** Made anew when one of the files has changed. */
function remembered(name: string, files: readonly string[], make: () => SecureContext): SecureContext {
  const version = files.map((path) => statSync(path).mtimeMs).join(' ')
  const found = known.get(name)
  if (found?.version === version) return found.context
  const context = make()
  known.set(name, { version, context })
  return context
}

function identifiedContext(
  { certificate, key }: Identity,
  verified: boolean,
  caFile: string | null,
): SecureContext | Error {
  try {
    const name = JSON.stringify([certificate, key, verified, caFile])
    const files = verified && caFile !== null ? [certificate, key, caFile] : [certificate, key]
    return remembered(name, files, () => {
      const trust = !verified ? { ca: [] } : caFile === null ? {} : { ca: readFileSync(caFile) }
      return createSecureContext({ ...trust, cert: readFileSync(certificate), key: readFileSync(key) })
    })
  } catch (error) {
    return new Error(`tls-certificate cannot be used: ${reasonOf(error)}`)
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/**
 * What the host has shown on a session that stands. To be asked once: Node takes the certificates off the list of
 * OpenSSL as it hands them out.
 * @param earlier what was said of the session that was offered to be resumed.
 */
export function shownBy(socket: Socket, earlier: Good | null): Shown {
  const secured = socket as Partial<TLSSocket>
  const { encrypted, authorized, authorizationError } = secured
  const resumed = secured.isSessionReused?.() === true
  return {
    encrypted: encrypted === true,
    chain: encrypted === true && !resumed ? chainOf(secured) : [],
    trusted: authorized === true,
    trouble: String((authorizationError as Error | string | undefined) ?? 'it is not verified'),
    earlier: resumed ? earlier : null,
  }
}

/** As it was sent. */
function chainOf(secured: Partial<TLSSocket>): X509Certificate[] {
  const chain: X509Certificate[] = []
  let next = secured.getPeerX509Certificate?.()
  while (next) {
    chain.push(next)
    next = next.issuerCertificate
  }
  return chain
}

export function describeTls(socket: Socket): string {
  const secured = socket as Partial<TLSSocket>
  if (!secured.encrypted || !secured.getProtocol || !secured.getCipher) return ''
  return `${secured.getProtocol() ?? 'TLS'} ${secured.getCipher().name}`
}
