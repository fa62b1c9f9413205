/**
 * Certificates for tests, made by openssl as they are needed: an authority, and what it signs.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Pair {
  certificate: string
  key: string
}

export interface Authority extends Pair {
  /** @param names of subjectAltName, as openssl writes them: `DNS:mx.example`, `email:anna@example.org`. */
  sign: (name: string, names: string) => Pair
}

const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '3650']

export function makeAuthority(directory: string, name = 'authority'): Authority {
  const own = pairIn(directory, name)
  openssl('req', '-x509', ...CURVE, '-subj', `/CN=${name}`, '-keyout', own.key, '-out', own.certificate)
  const sign = (subject: string, names: string): Pair => {
    const made = pairIn(directory, subject.replace(/[^a-z0-9]/gi, '-'))
    const issuer = ['-CA', own.certificate, '-CAkey', own.key]
    const shape = [
      '-subj',
      `/CN=${subject}`,
      '-addext',
      `subjectAltName=${names}`,
      '-addext',
      'basicConstraints=CA:FALSE',
    ]
    openssl('req', '-x509', ...CURVE, ...issuer, ...shape, '-keyout', made.key, '-out', made.certificate)
    return made
  }
  return { ...own, sign }
}

function pairIn(directory: string, name: string): Pair {
  return { certificate: join(directory, `${name}.crt`), key: join(directory, `${name}.key`) }
}

export function readPair({ certificate, key }: Pair): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(certificate), key: readFileSync(key) }
}

function openssl(...words: string[]): void {
  const { status, stderr } = spawnSync('openssl', words, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`openssl ${words[0]}: ${stderr}`)
}
