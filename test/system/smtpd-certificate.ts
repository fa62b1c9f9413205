/**
 * A certificate for `mx.example.org` that nobody trusts, and its key: for tests of TLS on both sides of smtpd.
 */
import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TlsContextSlice } from '../../shared/config/slices.ts'

const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXuZCODwh15NVuJ49
GqCc5m+IX8HNNkgYWgGYHDVhiTuhRANCAAT9dLWFyi0V/GpXf1kXGuTpTIFGbm2W
iyZYnuQtAmXWQxDhgJYG3SIAZFobMzBTe67PHj3RqpdUdn9n0GSl1R76
-----END PRIVATE KEY-----
`
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUVQWsrA1j8B+rSSS7cvy6yrAU5bEwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwObXguZXhhbXBsZS5vcmcwIBcNMjYxMTIxMDkwOTE3WhgPMjEy
NjEwMjgwOTA5MTdaMBkxFzAVBgNVBAMMDm14LmV4YW1wbGUub3JnMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAE/XS1hcotFfxqV39ZFxrk6UyBRm5tlosmWJ7kLQJl
1kMQ4YCWBt0iAGRaGzMwU3uuzx490aqXVHZ/Z9BkpdUe+qNTMFEwHQYDVR0OBBYE
FO6m9JRFYDG/FKW527BSMzxxX/9nMB8GA1UdIwQYMBaAFO6m9JRFYDG/FKW527BS
MzxxX/9nMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgMB4sJxVK
uQ7EiCycteO4YRmCT+msSpMAyY1S3KAnqHICIQCNU+/yLiuS24gkBH3oXtEsFKbs
xWhKX/eK+TsclzPv0w==
-----END CERTIFICATE-----
`

/** The same name, another key: what a renewal brings. */
const RENEWED_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5/ZSdJPwzONzc2Pa
s7SWTa6H2bINxwTuiscnyEOj5AuhRANCAASOVswGaXRWXon+IEQoMOaUZ4+MrTnE
6NZggyEHLa2e+0sjzetAdgGc3eA2D/IIE0wjOXpDLe8vlFYzgrkkafAa
-----END PRIVATE KEY-----
`
const RENEWED_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBijCCAS+gAwIBAgIUK9H4OZ1Jx7hX/nrqSP16DvR3zmgwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwObXguZXhhbXBsZS5vcmcwIBcNMjYxMTIxMTIyMTA4WhgPMjEy
NjEwMjgxMjIxMDhaMBkxFzAVBgNVBAMMDm14LmV4YW1wbGUub3JnMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEjlbMBml0Vl6J/iBEKDDmlGePjK05xOjWYIMhBy2t
nvtLI83rQHYBnN3gNg/yCBNMIzl6Qy3vL5RWM4K5JGnwGqNTMFEwHQYDVR0OBBYE
FI0x2FeCq2bgS1mNxHqns2H3s0KyMB8GA1UdIwQYMBaAFI0x2FeCq2bgS1mNxHqn
s2H3s0KyMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAL242siW
tjiNeCOREpJqiu2lzbBgWUNpjoGQvnBrjr+NAiEA0BTIiBERx0eWT+8uMrlZgULm
QniUkfbWG83rzLsocHs=
-----END CERTIFICATE-----
`

export function writeCertificate(directory: string): TlsContextSlice {
  const files = { certificate: join(directory, 'certificate.pem'), key: join(directory, 'key.pem') }
  writeFileSync(files.certificate, CERTIFICATE)
  writeFileSync(files.key, KEY)
  return tlsSection({ ...files })
}

export function renewCertificate({ certificate, key }: TlsContextSlice): void {
  writeFileSync(certificate, RENEWED_CERTIFICATE)
  writeFileSync(key, RENEWED_KEY)
}

/** As `TLSSocket.getPeerCertificate` has them. */
export const fingerprints = [CERTIFICATE, RENEWED_CERTIFICATE].map(
  (pem) => new X509Certificate(pem).fingerprint256,
)

export function tlsSection(change: Partial<TlsContextSlice>): TlsContextSlice {
  const usual = { minimumVersion: '1.2', clientCa: null, clientCertificate: 'optional' } as const
  return { name: 'public', certificate: '', key: '', ...usual, ...change }
}
