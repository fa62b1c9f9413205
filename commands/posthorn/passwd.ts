/**
 * `posthorn passwd FILE LOGIN`: sets one password in a password file, or takes it out, or says whether one fits.
 *
 * The password comes from the terminal, unseen and twice, or as the first line of the standard input; never as an
 * argument, where everybody could see it. The file is written beside the old one, synced and renamed, with the old
 * one's owner and mode (a new one: 0600), so a server never reads half of it.
 * Fails: with a sentence and the exit code; the file is then as it was.
 */
import {
  chownSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { parsePasswordFile, withAccount } from '../../shared/auth/password-file.ts'
import { makeScramHash, makeScryptHash, matches } from '../../shared/auth/password-hash.ts'
import { type Exit, exits, Trouble } from './trouble.ts'
import type { Call } from './words.ts'

export async function setPassword(call: Call, print: (text: string) => void): Promise<Exit> {
  const [file = '', login = ''] = call.operands
  const why = whyNoLogin(login)
  if (why) throw new Trouble(exits.usage, why)
  if (call.flags.has('verify')) return verifyPassword(file, login)
  if (call.flags.has('remove')) {
    if (!parsePasswordFile(read(file)).value.has(login))
      throw new Trouble(exits.bad, `no ${login} in ${file}`)
    write(file, withAccount(read(file), login, null))
    print(`${login} removed from ${file}\n`)
    return exits.ok
  }
  const password = await askPassword(true)
  const hash = await (call.flags.has('scram') ? makeScramHash : makeScryptHash)(password)
  write(file, withAccount(read(file), login, hash))
  print(`password of ${login} set in ${file}\n`)
  return exits.ok
}

async function verifyPassword(file: string, login: string): Promise<Exit> {
  const stored = parsePasswordFile(read(file)).value.get(login)
  const fits = stored !== undefined && (await matches(stored, await askPassword(false)))
  if (!fits) throw new Trouble(exits.bad, `that is not the password of ${login}`)
  return exits.ok
}

function whyNoLogin(login: string): string {
  if (/^[^\s:#\p{C}][^\s:\p{C}]{0,254}$/u.test(login)) return ''
  return `"${login}" cannot be a login: at most 255 characters, no spaces, no ":"`
}

async function askPassword(twice: boolean): Promise<string> {
  const interactive = process.stdin.isTTY === true
  const password = await readLine(interactive ? 'Password: ' : '')
  if (password === '') throw new Trouble(exits.usage, 'an empty password')
  if (password.includes('\0')) throw new Trouble(exits.usage, 'a password has no NUL')
  if (interactive && twice && (await readLine('Again: ')) !== password)
    throw new Trouble(exits.usage, 'the two are not the same')
  return password
}

/** What is typed is not shown. */
function readLine(prompt: string): Promise<string> {
  if (prompt) process.stderr.write(prompt)
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: prompt !== '' })
  return new Promise((resolve, reject) => {
    let line = ''
    lines.once('line', (text) => {
      line = text
      lines.close()
    })
    lines.once('SIGINT', () => reject(new Trouble(exits.usage, 'interrupted')))
    lines.once('close', () => {
      if (prompt) process.stderr.write('\n')
      resolve(line)
    })
  })
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw new Trouble(exits.bad, `${file} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

const NEW_MODE = 0o600

function write(file: string, text: string): void {
  const old = statSync(file, { throwIfNoEntry: false })
  const temporary = `${file}.${process.pid}.new`
  try {
    fill(temporary, text, old)
    renameSync(temporary, file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw new Trouble(exits.bad, `${file} cannot be written (${(error as NodeJS.ErrnoException).code})`)
  }
}

function fill(path: string, text: string, old: Stats | undefined): void {
  const fd = openSync(path, 'wx', old ? old.mode & 0o777 : NEW_MODE)
  try {
    if (old && (old.uid !== process.geteuid?.() || old.gid !== process.getegid?.()))
      chownSync(path, old.uid, old.gid)
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
