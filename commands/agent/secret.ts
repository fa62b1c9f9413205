/**
 * Passwords and tokens: asked of the store when a session needs one, used, and forgotten. A store that prompts
 * (gpg-agent, a keyring) prompts each time, which is a confirmation of its own.
 *
 * A secret is read from a pipe or a file and goes into the session; it is in no argument, environment, log or
 * error, and the agent writes no core file (`shared/system/core-dumps.ts`).
 * Fails: `NoSecret`, with the store's name and exit code and never what it printed.
 * Limits: two minutes, MAX_OCTETS.
 */
import { spawn } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import type { Account } from '../accounts/account.ts'
import type { Secret } from '../accounts/values.ts'
import { readNetrc } from './netrc.ts'

export class NoSecret extends Error {
  override name = 'NoSecret'
}

const PATIENCE_MS = 120_000
const MAX_OCTETS = 64 * 1024
const OTHERS_READ = 0o044

export async function fetchSecret(account: Account, kind: 'password' | 'token'): Promise<string> {
  const secret: Secret | null =
    kind === 'token' && account.tokenCommand !== null
      ? { kind: 'command', line: account.tokenCommand }
      : account.secret
  if (!secret) throw new NoSecret(`account ${account.name} has no ${kind}`)
  if (secret.kind === 'netrc') return fromNetrc(secret.file, account)
  const { argv, what } = programFor(secret)
  const line = firstLine(await run(argv, what))
  if (line === '') throw new NoSecret(`${what} printed nothing`)
  return line
}

/** pass keeps other facts in the lines below the password. */
function firstLine(printed: Buffer): string {
  const text = printed.toString('utf8')
  printed.fill(0)
  return text.split(/\r?\n/, 1)[0] ?? ''
}

function programFor(secret: Exclude<Secret, { kind: 'netrc' }>): { argv: string[]; what: string } {
  switch (secret.kind) {
    case 'command':
      return { argv: ['/bin/sh', '-c', secret.line], what: 'the password command' }
    case 'secret-tool':
      return { argv: ['secret-tool', 'lookup', ...secret.attributes], what: 'secret-tool' }
    case 'pass':
      return { argv: ['pass', 'show', secret.entry], what: 'pass' }
    case 'age': {
      const identity = secret.identity === null ? [] : ['-i', secret.identity]
      return { argv: ['age', '-d', ...identity, secret.file], what: 'age' }
    }
  }
}

function run(argv: readonly string[], what: string): Promise<Buffer> {
  const [program = '', ...rest] = argv
  return new Promise((done, fail) => {
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'ignore'], timeout: PATIENCE_MS })
    const printed: Buffer[] = []
    let octets = 0
    child.stdout.on('data', (chunk: Buffer) => {
      octets += chunk.length
      if (octets > MAX_OCTETS) child.kill()
      else printed.push(chunk)
    })
    child.once('error', (error: NodeJS.ErrnoException) =>
      fail(new NoSecret(`${what} cannot be run (${error.code ?? error.message})`)),
    )
    child.once('close', (code, signal) => {
      if (code === 0) return done(Buffer.concat(printed))
      fail(new NoSecret(signal ? `${what} was ended by ${signal}` : `${what} failed with ${code}`))
    })
  })
}

function fromNetrc(file: string, account: Account): string {
  const facts = statSync(file, { throwIfNoEntry: false })
  if (!facts) throw new NoSecret(`there is no ${file}`)
  if ((facts.mode & OTHERS_READ) !== 0) throw new NoSecret(`others may read ${file}: chmod 600 ${file}`)
  const found = readNetrc(readFileSync(file, 'utf8'), account.host, account.user ?? '')
  if (found === null) throw new NoSecret(`${file} has no password of ${account.user} at ${account.host}`)
  return found
}
