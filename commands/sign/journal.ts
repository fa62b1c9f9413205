/**
 * Who has got which message, for as long as not everybody has: what makes a second run send to the others alone.
 *
 * One small file for each message that is under way, in the user's state directory (0700), named by a hash of sender
 * and message as they were handed in. It is on stable storage before the last dot leaves and after each fate, and is
 * gone when all are served, so that the same message handed in later is another one. It keeps Date and Message-ID:
 * all copies of one message are one message. Files that nobody came back to are removed after FORGOTTEN_MS.
 *
 * Fails: with an error of the file system, before anything is sent.
 */
import { createHash } from 'node:crypto'
import {
  closeSync,
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
  #entry: Entry

  constructor(directory: string, name: string, fresh: Entry) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    forgetOld(directory, fresh.now)
    this.#path = join(directory, `${name}.json`)
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
    try {
      unlinkSync(this.#path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }

  #change(changes: readonly (readonly [string, Entry['recipients'][string]])[]): void {
    const recipients = { ...this.#entry.recipients, ...Object.fromEntries(changes) }
    this.#entry = { ...this.#entry, recipients }
    writeDurably(this.#path, JSON.stringify(this.#entry))
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
