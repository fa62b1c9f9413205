/**
 * A certificate for `localhost`, which is its own authority, and its key: for tests of TLS that is verified. Made for
 * these tests, worth nothing elsewhere.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const LOCALHOST_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgY+sJThAofjERB/Sk
JtCR6c4J7s8v1kg8QLC0lhk1eBihRANCAAQfEyJR0FTxbxICdP6+Cp+EhZJkVf8z
Nj++IzWYo2fbzVO6qlwwOmsyprEGMHPIecFt5sF2so5vfUCI73X2aSkB
-----END PRIVATE KEY-----
`
export const LOCALHOST_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBYDCCAQegAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABB8TIlHQVPFvEgJ0
/r4Kn4SFkmRV/zM2P74jNZijZ9vNU7qqXDA6azKmsQYwc8h5wW3mwXayjm99QIjv
dfZpKQGjSDBGMBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAPBgNVHRMBAf8EBTADAQH/
MB0GA1UdDgQWBBSYJu8+Iz6w65GufSDkQn4GGNXdPjAKBggqhkjOPQQDAgNHADBE
AiAwC6nsX7btAyoLnZAZPVBMTpH7zGnOA1xvLp86/yfy5wIgFmZEIDmjdyczmuMI
G8b+53y3weHrsQE5q5LlLrpv8Ys=
-----END CERTIFICATE-----
`

/** The paths of both, written into a directory. */
export function writeLocalhostCertificate(directory: string): { certificate: string; key: string } {
  const files = { certificate: join(directory, 'localhost.pem'), key: join(directory, 'localhost-key.pem') }
  writeFileSync(files.certificate, LOCALHOST_CERTIFICATE)
  writeFileSync(files.key, LOCALHOST_KEY)
  return files
}
