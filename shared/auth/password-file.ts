/**
 * A password file: one account to a line, `login:hash`, as Dovecot's passwd-file and /etc/shadow have it. Fields
 * behind a further `:` are theirs and not looked at; `#` begins a comment. Hashes: see `password-hash.ts`.
 *
 * Pure. One bad line does not take the others away: it is told in `faults`, and its account cannot log in.
 */
import type { ParsedFile } from '../config/map-file.ts'
import { type PasswordHash, parseHash } from './password-hash.ts'

export type Accounts = ReadonlyMap<string, PasswordHash>

/** Octets; more is not read. */
export const LARGEST_PASSWORD_FILE = 16 << 20

export function parsePasswordFile(text: string): ParsedFile<Accounts> {
  const accounts = new Map<string, PasswordHash>()
  const faults: { line: number; why: string }[] = []
  text.split('\n').forEach((raw, index) => {
    const line = raw.replace(/\r$/, '')
    if (line.trim() === '' || line.startsWith('#')) return
    const why = takeLine(line, accounts)
    if (why) faults.push({ line: index + 1, why })
  })
  return { value: accounts, faults }
}

function takeLine(line: string, accounts: Map<string, PasswordHash>): string {
  const colon = line.indexOf(':')
  if (colon < 1) return 'not `login:hash`'
  const login = line.slice(0, colon)
  if (accounts.has(login)) return `\`${login}\` is there twice; the first one counts`
  // {SCHEME} hashes have no colon either
  const [text = ''] = line.slice(colon + 1).split(':')
  const hash = parseHash(text)
  if (!hash) return `the hash of \`${login}\` is of a kind that is not known`
  accounts.set(login, hash)
  return ''
}

/** The file's text with this account's line put in, changed, or (null) taken out; all else stays as it is. */
export function withAccount(text: string, login: string, hash: string | null): string {
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n')
  const at = lines.findIndex((line) => line.startsWith(`${login}:`))
  if (hash === null) {
    if (at >= 0) lines.splice(at, 1)
  } else if (at < 0) lines.push(`${login}:${hash}`)
  else {
    const [, , ...others] = (lines[at] ?? '').split(':')
    lines[at] = [login, hash, ...others].join(':')
  }
  return lines.map((line) => `${line}\n`).join('')
}
