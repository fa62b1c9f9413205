/**
 * TLS contexts for connections to others: whom to trust, and who we are. Files are read when a connection needs
 * them: what the config names once, a certificate of ours again when it has changed.
 *
 * Fails: with an Error that says which file, never by throwing.
 */
import { readFileSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import type { Secured } from './demand.ts'
import type { Way } from './way.ts'

type Identity = NonNullable<Way['identity']>

let nobody: SecureContext | null = null
let trusting: { caFile: string | null; context: SecureContext } | null = null
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

/** Whoever the file names is trusted, or without one those that Node comes with. Read once. */
function trustingContext(caFile: string | null): SecureContext | Error {
  if (trusting?.caFile === caFile) return trusting.context
  try {
    const context = createSecureContext(caFile === null ? {} : { ca: readFileSync(caFile) })
    trusting = { caFile, context }
    return context
  } catch (error) {
    return new Error(`ca-file cannot be used: ${reasonOf(error)}`)
  }
}

function identifiedContext(
  { certificate, key }: Identity,
  verified: boolean,
  caFile: string | null,
): SecureContext | Error {
  try {
    const name = JSON.stringify([certificate, key, verified, caFile])
    const version = [certificate, key].map((path) => statSync(path).mtimeMs).join(' ')
    const found = known.get(name)
    if (found?.version === version) return found.context
    const trust = !verified ? { ca: [] } : caFile === null ? {} : { ca: readFileSync(caFile) }
    const context = createSecureContext({ ...trust, cert: readFileSync(certificate), key: readFileSync(key) })
    known.set(name, { version, context })
    return context
  } catch (error) {
    return new Error(`tls-certificate cannot be used: ${reasonOf(error)}`)
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The chain leads to somebody trusted, and the certificate has the host's name (the engine's servername). */
export function isVerified(socket: Socket): boolean {
  return (socket as Partial<TLSSocket>).authorized === true
}

export function securedBy(socket: Socket): Secured {
  const { encrypted, authorized, authorizationError } = socket as Partial<TLSSocket>
  return {
    encrypted: encrypted === true,
    verified: authorized === true,
    why: String((authorizationError as Error | string | undefined) ?? 'it is not verified'),
  }
}

export function describeTls(socket: Socket): string {
  const secured = socket as Partial<TLSSocket>
  if (!secured.encrypted || !secured.getProtocol || !secured.getCipher) return ''
  return `${secured.getProtocol() ?? 'TLS'} ${secured.getCipher().name}`
}
