/**
 * The TLS side of a listener: certificate and key read from their files, again whenever one of them changes, so
 * that a renewed certificate needs no restart.
 *
 * Fails: files that cannot be read or do not fit together at start leave the listener without TLS, loudly; later
 * they leave the old certificate in force. There is no built-in key.
 */
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { Log } from '../../shared/base/log.ts'
import type { TlsContextSlice } from '../../shared/config/slices.ts'

const CHECK_INTERVAL_MS = 60_000

export interface TlsSource {
  close: () => void
}

/** Calls `use` with each good context, the first time before it returns. */
export function watchTls(slice: TlsContextSlice, log: Log, use: (context: SecureContext) => void): TlsSource {
  let known = ''
  const check = () => {
    const stamp = stampOf(slice)
    if (stamp === known) return
    known = stamp
    const context = load(slice, log)
    if (context) use(context)
  }
  check()
  const timer = setInterval(check, CHECK_INTERVAL_MS).unref()
  return { close: () => clearInterval(timer) }
}

function load(slice: TlsContextSlice, log: Log): SecureContext | null {
  try {
    return createSecureContext({
      cert: readFileSync(slice.certificate),
      key: readFileSync(slice.key),
      // RFC 8996: nothing below
      minVersion: 'TLSv1.2',
    })
  } catch (error) {
    log.error({ tls: slice.name, why: String(error) }, 'certificate or key cannot be used')
    return null
  }
}

function stampOf({ certificate, key }: TlsContextSlice): string {
  return [certificate, key].map(stampOfFile).join(' ')
}

function stampOfFile(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat ? `${stat.ino}:${stat.mtimeMs}:${stat.size}` : 'none'
}
