/**
 * Debian's Dovecot as it stands after the steps of `config/examples/vps-with-dovecot/README.md`: Debian's own config,
 * the example's file in `conf.d`, users in a file; only places and ports are of the test.
 *
 * Needs root. Fails: null where it cannot run; the test then skips, loudly. Next: `layered.ts`, `imap.ts`.
 */
import { chownSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeScramHash } from '../../shared/auth/password-hash.ts'
import { debianPrograms } from './debian.ts'
import { type Layered, startLayered } from './layered.ts'

export const EXAMPLE = 'config/examples/vps-with-dovecot'
const PACKAGES = ['dovecot-core', 'dovecot-imapd', 'dovecot-lmtpd']
const VMAIL_UID = 5000
/** Dovecot's own users, Posthorn's, and whose the mail is. */
const PEOPLE = { dovecot: 5001, dovenull: 5002, phm: 5003, phr: 5004, phc: 5005, vmail: VMAIL_UID }

export interface DovecotOptions {
  /** Of the test; others must be able to pass through it. */
  directory: string
  imapsPort: number
  /** By address. */
  passwords: Readonly<Record<string, string>>
  /** What stands in the place of which text of the example. */
  places: (text: string) => string
}

/** Its sockets are in `run` of the directory, mail in `mail`, its log in `dovecot.log`. */
export async function startDovecot(options: DovecotOptions): Promise<Layered | null> {
  const programs = debianPrograms(...PACKAGES)
  if (!programs) return null
  const etc = join(options.directory, 'etc')
  const folder = join(etc, 'dovecot')
  cpSync(join(programs.folder, 'usr/share/dovecot/conf.d'), join(folder, 'conf.d'), { recursive: true })
  cpSync(join(programs.folder, 'usr/share/dovecot/dovecot.conf'), join(folder, 'dovecot.conf'))
  // Debian makes a certificate when it is installed; ours takes its place, but it is looked for
  mkdirSync(join(folder, 'private'), { recursive: true })
  for (const name of ['dovecot.pem', 'dovecot.key']) writeFileSync(join(folder, 'private', name), '')
  followReadme(folder, options.places)
  await writeUsers(etc, options.passwords)
  writeFileSync(join(folder, 'local.conf'), placesOf(options))
  makePlaces(options.directory)
  const socket = join(options.directory, 'run', 'lmtp')
  rmSync(socket, { force: true })
  return startLayered({ packages: PACKAGES, etc, command: 'dovecot -F', socket })
}

function followReadme(folder: string, places: DovecotOptions['places']): void {
  const file = join(folder, 'conf.d', '10-auth.conf')
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^!include auth-system/m, '#$&'))
  const ours = readFileSync(`${EXAMPLE}/99-posthorn.conf`, 'utf8')
  writeFileSync(join(folder, 'conf.d', '99-posthorn.conf'), places(ours))
}

async function writeUsers(etc: string, passwords: DovecotOptions['passwords']): Promise<void> {
  const lines = Object.entries(passwords).map(
    async ([name, password]) => `${name}:${await makeScramHash(password)}\n`,
  )
  writeFileSync(join(etc, 'dovecot', 'users'), (await Promise.all(lines)).join(''))
  const people = Object.entries(PEOPLE)
  const passwd = people.map(([name, id]) => `${name}:x:${id}:${id}::/nonexistent:/usr/sbin/nologin\n`)
  writeFileSync(join(etc, 'passwd'), readFileSync('/etc/passwd', 'utf8') + passwd.join(''))
  const group = people.map(([name, id]) => `${name}:x:${id}:\n`)
  writeFileSync(join(etc, 'group'), readFileSync('/etc/group', 'utf8') + group.join(''))
}

/** It waits before it says no, and longer each time: nothing for a test. */
function placesOf({ directory, imapsPort }: DovecotOptions): string {
  return `base_dir = ${directory}/run
state_dir = ${directory}/state
log_path = ${directory}/dovecot.log
listen = 127.0.0.1
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  inet_listener imaps {
    port = ${imapsPort}
  }
}
`
}

function makePlaces(directory: string): void {
  const mail = join(directory, 'mail')
  mkdirSync(mail, { mode: 0o750, recursive: true })
  chownSync(mail, VMAIL_UID, VMAIL_UID)
}
