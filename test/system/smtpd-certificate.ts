/**
 * A certificate for `mx.example.org` that nobody trusts, and its key: for tests of TLS on both sides of smtpd.
 */
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

export function writeCertificate(directory: string): TlsContextSlice {
  const files = { certificate: join(directory, 'certificate.pem'), key: join(directory, 'key.pem') }
  writeFileSync(files.certificate, CERTIFICATE)
  writeFileSync(files.key, KEY)
  return { name: 'public', ...files }
}
