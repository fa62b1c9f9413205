/**
 * What a finished TLS handshake says: version and cipher for Received and the log, the octets that bind a login to
 * this very connection (RFC 9266), and whose certificate the client has shown.
 */
import type { PeerCertificate, TLSSocket } from 'node:tls'
import { isLogin } from './sasl-step.ts'

export interface TlsFacts {
  /** `TLSv1.3` */
  version: string
  /** By its name in IANA's registry. */
  cipher: string
  /** Null below TLS 1.3, where it may be the same on two connections. */
  exporter: Buffer | null
  /** What a certificate that was found good says of its owner; empty: there was none. */
  certificateNames: readonly string[]
  /** Of a certificate that was found good: the common name of who has signed it, and its SHA-256 with colons. */
  certificate?: { issuer: string; fingerprint: string }
}

const EXPORTER_LABEL = 'EXPORTER-Channel-Binding'
const EXPORTER_LENGTH = 32

export function tlsFacts(socket: TLSSocket): TlsFacts {
  const version = socket.getProtocol() ?? ''
  const { standardName, name } = socket.getCipher()
  const exporter =
    version === 'TLSv1.3'
      ? socket.exportKeyingMaterial(EXPORTER_LENGTH, EXPORTER_LABEL, Buffer.alloc(0))
      : null
  const cipher = standardName ?? name
  return { version, cipher, exporter, certificateNames: namesOf(socket), ...certificateOf(socket) }
}

function certificateOf(socket: TLSSocket): Pick<TlsFacts, 'certificate'> {
  if (!socket.authorized) return {}
  const { issuer, fingerprint256 = '' }: Partial<PeerCertificate> = socket.getPeerCertificate()
  return {
    certificate: { issuer: typeof issuer?.CN === 'string' ? issuer.CN : '', fingerprint: fingerprint256 },
  }
}

/** Bits of the key of a cipher, by its name; 0 for one that is not known here. */
export function cipherBits(cipher: string): number {
  if (/CHACHA20/i.test(cipher)) return 256
  if (/3DES|DES-CBC3/i.test(cipher)) return 168
  return Number(/(?:AES|CAMELLIA|ARIA)[_-]?(128|192|256)/i.exec(cipher)?.[1] ?? 0)
}

/** Mail addresses first, then the common name. */
function namesOf(socket: TLSSocket): string[] {
  if (!socket.authorized) return []
  const { subject, subjectaltname = '' }: Partial<PeerCertificate> = socket.getPeerCertificate()
  // a name with a comma is quoted, and no address that we take
  const addresses = subjectaltname.split(', ').flatMap((one) => /^email:([^"]+)$/.exec(one)?.[1] ?? [])
  const common = subject?.CN
  const names = [...addresses, ...(typeof common === 'string' ? [common] : [])]
  return [...new Set(names)].filter(isLogin)
}
