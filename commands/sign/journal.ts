/**
 * Who has got which message, for as long as not everybody has: what makes a second run send to the others alone.
 *
 * One small file for each message that is under way, in the user's state directory (0700), named by a hash of sender
 * and message as they were handed in. It is on stable storage before the last dot leaves and after each fate, and is
 * gone when all are served, so that the same message handed in later is another one. It keeps Date and Message-ID:
 * all copies of one message are one message. Files that nobody came back to are removed after FORGOTTEN_MS.
 *
 * Whoever has a message in hand holds a lock beside its file until the end of the process: a second run of the same
 * message leaves with 75 and sends nothing.
 *
 * Fails: with an error of the file system, before anything is sent.
 */
import { createHash } from 'node:crypto'
import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { lockFile } from '../../shared/system/lock.ts'
import { exitCodes } from '../sendmail/exit-code.ts'
import { Stop } from '../sendmail/stop.ts'
import type { Fates } from './conversation.ts'

const FORGOTTEN_MS = 7 * 24 * 60 * 60 * 1000

export interface Entry {
  version: 1
  /** As the first run made them. */
  messageId: string
  now: number
  recipients: Record<string, 'sent' | 'doubt' | 'failed'>
}

export function journalDirectory(env: NodeJS.ProcessEnv): string {
  const state = env['XDG_STATE_HOME'] || join(env['HOME'] || homedir(), '.local', 'state')
  return join(state, 'posthorn', 'sign')
}

export function nameOf(sender: string, message: readonly string[]): string {
  const hash = createHash('sha256').update(`${sender}\0`)
  for (const part of message) hash.update(part, 'latin1')
  return hash.digest('hex')
}

export class Journal {
  readonly #path: string
  readonly #lock: string
  #entry: Entry

  constructor(directory: string, name: string, fresh: Entry) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    forgetOld(directory, fresh.now)
    this.#path = join(directory, `${name}.json`)
    this.#lock = `${this.#path}.lock`
    holdAlone(this.#lock)
    this.#entry = readEntry(this.#path) ?? fresh
  }

  get entry(): Entry {
    return this.#entry
  }

  /** Those to send to. @param again also to those in doubt. */
  outstanding(recipients: readonly string[], again: boolean): string[] {
    return recipients.filter((recipient) => {
      const fate = this.#entry.recipients[recipient]
      return fate === undefined || fate === 'failed' || (again && fate === 'doubt')
    })
  }

  inDoubt(recipients: readonly string[]): string[] {
    return recipients.filter((recipient) => this.#entry.recipients[recipient] === 'doubt')
  }

  doubt(recipients: readonly string[]): void {
    this.#change(recipients.map((recipient) => [recipient, 'doubt'] as const))
  }

  settle(fates: Fates): void {
    this.#change(
      [...fates].map(([recipient, { kind }]) => {
        return [recipient, kind === 'sent' || kind === 'doubt' ? kind : 'failed'] as const
      }),
    )
  }

  /** When everybody has it that it was ever for. */
  close(): void {
    if (Object.values(this.#entry.recipients).some((fate) => fate !== 'sent')) return
    remove(this.#path)
    remove(this.#lock)
  }

  #change(changes: readonly (readonly [string, Entry['recipients'][string]])[]): void {
    const recipients = { ...this.#entry.recipients, ...Object.fromEntries(changes) }
    this.#entry = { ...this.#entry, recipients }
    writeDurably(this.#path, JSON.stringify(this.#entry))
  }
}

/** The descriptor stays open, and the lock with it, until the process ends. */
function holdAlone(path: string): void {
  const descriptor = openSync(path, 'a', 0o600)
  const held = lockFile(descriptor)
  // whoever had it before may have removed it since it was opened here
  const current = statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(descriptor).ino
  if (held === 'held-by-other' || !current)
    throw new Stop(exitCodes.temporary, ['this message is being sent already, by another run'])
}

function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function readEntry(path: string): Entry | null {
  try {
    const entry = JSON.parse(readFileSync(path, 'utf8')) as Entry
    return entry.version === 1 ? entry : null
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new Error(`cannot tell who has got this message already: ${path}: ${String(error)}`)
  }
}

function writeDurably(path: string, text: string): void {
  const temporary = `${path}.${process.pid}`
  sync(temporary, 'w', (descriptor) => void writeSync(descriptor, text))
  renameSync(temporary, path)
  sync(dirname(path), 'r', () => undefined)
}

function sync(path: string, flags: 'r' | 'w', act: (descriptor: number) => void): void {
  const descriptor = openSync(path, flags, 0o600)
  try {
    act(descriptor)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function forgetOld(directory: string, now: number): void {
  for (const name of readdirSync(directory)) {
    const file = join(directory, name)
    const facts = statSync(file, { throwIfNoEntry: false })
    if (facts?.isFile() && now - facts.mtimeMs > FORGOTTEN_MS) unlinkSync(file)
  }
}
