/**
 * The TLS side of whoever is listening: certificate and key read from their files, and again when one of them changes (looked
 * at once a second), so that a renewed certificate needs neither restart nor reload: the next handshake has it, and
 * sessions that are open keep what they have. A reload reads them in any case.
 *
 * Files that have just changed are left alone until they are the same at the next look: certificate and key are
 * seldom written in the same instant. Fails: files that cannot be read or do not fit together at start leave the
 * listener without TLS, loudly; later they leave the old certificate in force. There is no built-in key.
 */
import { constants, createHash, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { Log } from '../base/log.ts'
import type { TlsContextSlice } from '../config/slices.ts'

const LOOK_INTERVAL_MS = 1000

export interface TlsSource {
  close: () => void
}

/** A certificate that can be served, and what it says of itself. */
export interface Certified {
  context: SecureContext
  certificate: X509Certificate
}

/** Calls `use` with each good context, the first time before it returns. */
export function watchTls(slice: TlsContextSlice, log: Log, use: (certified: Certified) => void): TlsSource {
  const take = () => {
    const certified = load(slice, log)
    if (certified) use(certified)
  }
  let taken = stampOf(slice)
  let seen = taken
  take()
  const look = () => {
    const stamp = stampOf(slice)
    const settled = stamp === seen
    seen = stamp
    if (!settled || stamp === taken) return
    taken = stamp
    take()
  }
  const timer = setInterval(look, LOOK_INTERVAL_MS).unref()
  return { close: () => clearInterval(timer) }
}

function load(slice: TlsContextSlice, log: Log): Certified | null {
  const { name } = slice
  try {
    const cert = readFileSync(slice.certificate)
    // RFC 8996: nothing below
    const context = createSecureContext({
      cert,
      key: readFileSync(slice.key),
      minVersion: `TLSv${slice.minimumVersion}`,
      // Node lets clients begin a handshake anew: costly for us, and nobody who sends mail needs it
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      // sessions that are taken up again must be ours
      sessionIdContext: createHash('sha256').update(name).digest('hex').slice(0, 32),
      ...(slice.clientCa === null ? {} : { ca: readFileSync(slice.clientCa) }),
    })
    const first = new X509Certificate(cert)
    log.info({ tls: name, until: first.validTo }, 'certificate read')
    return { context, certificate: first }
  } catch (error) {
    log.error({ tls: name, why: String(error) }, 'certificate or key cannot be used')
    return null
  }
}

function stampOf({ certificate, key, clientCa }: TlsContextSlice): string {
  return [certificate, key, ...(clientCa === null ? [] : [clientCa])].map(stampOfFile).join(' ')
}

function stampOfFile(path: string): string {
  try {
    const { ctimeMs, ino, mtimeMs, size } = statSync(path)
    return `${ino}:${mtimeMs}:${ctimeMs}:${size}`
  } catch {
    return 'none' // reading it says why
  }
}
