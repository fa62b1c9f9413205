/**
 * The outbox: mail that waits for the provider, for its user's word, or for nothing any more. One directory of the
 * user's, 0700; each message is `ID.eml` (as it is to be sent) and `ID.json` (envelope and state).
 *
 * The json is the message: it is written last and removed first, each time through a new file, with data and
 * directory synced, so a crash leaves all of a message or nothing of it; `open` sweeps what is left of halves.
 * One agent writes (it holds the lock); anybody of the user's may list.
 * Fails: rejects with the system's error; then the message is not in the outbox.
 */
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  boolean,
  type Infer,
  integer,
  list,
  nullable,
  oneOf,
  string,
  struct,
} from '../../shared/base/shape.ts'
import { replyShape } from '../../shared/message/outcome.ts'
import type { ContentFile } from './provider.ts'

const recipientShape = struct({ address: string, notify: nullable(string), orcpt: nullable(string) })

export const messageShape = struct({
  version: integer,
  id: string,
  account: string,
  sender: string,
  subject: string,
  /** Who handed it over: a path, or ''. Advisory. */
  program: string,
  smtputf8: boolean,
  eightBit: boolean,
  ret: nullable(oneOf('full', 'hdrs')),
  envid: nullable(string),
  size: integer,
  /** Milliseconds since 1970. */
  receivedAt: integer,
  /** held: awaiting its user's word; failed: tried no more. */
  state: oneOf('held', 'waiting', 'failed'),
  nextAttemptAt: integer,
  attempts: integer,
  recipients: list(recipientShape),
  /** Recipients that were refused for good. */
  refused: list(struct({ address: string, reply: replyShape })),
  lastReply: nullable(replyShape),
})
export type OutboxMessage = Infer<typeof messageShape>

const VERSION = 1
const ID = /^U[0-9A-Z]{10,20}$/

/** Sorts by age. */
export function newMessageId(now: number): string {
  return `U${now.toString(36)}${randomBytes(4).readUInt32BE().toString(36).padStart(7, '0')}`.toUpperCase()
}

export class Outbox {
  readonly directory: string
  readonly #messages = new Map<string, OutboxMessage>()

  private constructor(directory: string) {
    this.directory = directory
  }

  static async open(state: string): Promise<Outbox> {
    const outbox = new Outbox(join(state, 'outbox'))
    await mkdir(outbox.directory, { recursive: true, mode: 0o700 })
    for (const message of listOutbox(state).messages) outbox.#messages.set(message.id, message)
    await outbox.#sweep()
    return outbox
  }

  get messages(): readonly OutboxMessage[] {
    return [...this.#messages.values()]
  }

  find(id: string): OutboxMessage | null {
    return this.#messages.get(id.toUpperCase()) ?? null
  }

  contentOf({ id, size }: OutboxMessage): ContentFile {
    return { path: join(this.directory, `${id}.eml`), size }
  }

  /** A file for content that is on its way in; it is swept away unless `keep` follows. */
  incoming(id: string): string {
    return join(this.directory, `${id}.part`)
  }

  /** Content and envelope are on stable storage when this resolves. */
  async keep(message: OutboxMessage, content: string): Promise<void> {
    await syncFile(content)
    await rename(content, this.contentOf(message).path)
    await this.update(message)
  }

  async update(message: OutboxMessage): Promise<void> {
    const path = join(this.directory, `${message.id}.json`)
    const file = await open(`${path}.part`, 'w', 0o600)
    try {
      await file.writeFile(JSON.stringify(message))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(`${path}.part`, path)
    await syncFile(this.directory)
    this.#messages.set(message.id, message)
  }

  async remove(message: OutboxMessage): Promise<void> {
    await rm(join(this.directory, `${message.id}.json`), { force: true })
    await syncFile(this.directory)
    this.#messages.delete(message.id)
    await rm(this.contentOf(message).path, { force: true })
  }

  async #sweep(): Promise<void> {
    for (const name of await readdir(this.directory)) {
      const [id = '', ending = ''] = name.split('.')
      const half = name.endsWith('.part') || (ending === 'eml' && !this.#messages.has(id))
      // a message that cannot be read is left alone, with its content
      if (half && ID.test(id) && !(await exists(join(this.directory, `${id}.json`))))
        await rm(join(this.directory, name), { force: true })
    }
  }
}

/** What is in the outbox, for anybody who may read it; `unreadable` are files that hold no message. */
export function listOutbox(state: string): { messages: OutboxMessage[]; unreadable: string[] } {
  const directory = join(state, 'outbox')
  const messages: OutboxMessage[] = []
  const unreadable: string[] = []
  for (const name of namesIn(directory)) {
    const path = join(directory, name)
    const message = readMessage(path)
    if (message === 'gone') continue
    if (message && `${message.id}.json` === name) messages.push(message)
    else unreadable.push(path)
  }
  return { messages, unreadable }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.json') && ID.test(name.slice(0, -5)))
      .toSorted()
  } catch {
    return [] // nobody has an outbox before its first message
  }
}

function readMessage(path: string): OutboxMessage | 'gone' | null {
  try {
    const found: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return messageShape.accepts(found) && found.version === VERSION ? found : null
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'gone' : null
  }
}

export const newMessage = { version: VERSION, attempts: 0, refused: [], lastReply: null }

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

async function exists(path: string): Promise<boolean> {
  return open(path, 'r').then(
    (file) => file.close().then(() => true),
    () => false,
  )
}
