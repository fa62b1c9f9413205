/**
 * One mbox, or a file that is written like one: messages are appended under its locks, and are synced before they count
 * as delivered.
 *
 * Messages that are whole while another one is written share the next locks and the next fsync. One that cannot be
 * written is cut off again and fails alone; when fsync fails all of them are cut off, fail, and the descriptor is never
 * trusted again (design rule D5). What a crash left of a message stays, as a message of its own.
 *
 * The file is opened anew each time: O_NOFOLLOW and O_NONBLOCK, so that neither a link nor a pipe leads elsewhere; after
 * that it must be a regular file of our uid with one name, and still the one of that name when it is locked.
 * Limits: MOST_TOGETHER messages under one lock; PATIENCE_MS for the locks of others.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readSync,
  type Stats,
} from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { lockRecord } from '../../shared/system/record-lock.ts'
import { syncDirectoryNow } from './directories.ts'
import { syncDescriptor } from './directory-sync.ts'
import { type DotLock, takeDotLock } from './dot-lock.ts'
import { errorCode, MailboxLocked, MailboxRefused } from './failure.ts'
import { type Gathered, writeWhole } from './gathered.ts'

const PATIENCE_MS = 30_000
const FIRST_WAIT_MS = 10
const LONGEST_WAIT_MS = 500
const MOST_TOGETHER = 100
const FILE_MODE = 0o600

export interface MboxTerms {
  path: string
  uid: number
  /** A lock file beside it, as for mailboxes; not for files that aliases name. */
  dotLock: boolean
  now: () => number
  /** Milliseconds; PATIENCE_MS. */
  patience?: number
}

interface Waiting {
  message: Gathered
  done: () => void
  failed: (error: unknown) => void
}

interface Held {
  descriptor: number
  release: () => void
}

export class Mbox {
  readonly #terms: MboxTerms
  readonly #waiting: Waiting[] = []
  #running = false

  constructor(terms: MboxTerms) {
    this.#terms = terms
  }

  /** Resolves when the message is on stable storage; rejects with nothing of it in the file, where that is possible. */
  append(message: Gathered): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ message, done, failed })
      if (!this.#running) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#running = true
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MOST_TOGETHER)
      try {
        await this.#write(batch)
      } catch (error) {
        for (const one of batch) one.failed(error)
      }
    }
    this.#running = false
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const held = await this.#lock()
    let written: Waiting[] = []
    try {
      written = await writeBatch(held.descriptor, batch)
    } finally {
      held.release()
    }
    for (const one of written) one.done()
  }

  async #lock(): Promise<Held> {
    const { now, patience = PATIENCE_MS } = this.#terms
    const until = now() + patience
    for (let pause = FIRST_WAIT_MS; ; pause = Math.min(pause * 2, LONGEST_WAIT_MS)) {
      const held = this.#tryLock()
      if (held) return held
      if (now() >= until) throw new MailboxLocked(`${this.#terms.path} is locked by another program`)
      await wait(pause)
    }
  }

  #tryLock(): Held | null {
    const { path, uid, dotLock, now } = this.#terms
    const beside: DotLock = dotLock ? takeDotLock(path, uid, now()) : { kind: 'absent' }
    if (beside.kind === 'busy') return null
    const letGo = () => (beside.kind === 'held' ? beside.release() : undefined)
    let descriptor: number | null = null
    try {
      descriptor = openMbox(path, uid)
      // a program that replaces the file instead of locking it may have done so in between
      if (lockRecord(descriptor) !== 'held-by-other' && isStill(path, fstatSync(descriptor))) {
        const locked = descriptor
        return { descriptor: locked, release: () => release(locked, letGo) }
      }
    } catch (error) {
      release(descriptor, letGo)
      throw error
    }
    release(descriptor, letGo)
    return null
  }
}

function release(descriptor: number | null, letGo: () => void): void {
  try {
    if (descriptor !== null) closeSync(descriptor)
  } finally {
    letGo()
  }
}

function openMbox(path: string, uid: number): number {
  const { O_RDWR, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants
  const flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK
  let descriptor: number
  try {
    descriptor = openSync(path, flags)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    descriptor = openSync(path, flags | O_CREAT | O_EXCL, FILE_MODE)
    syncDirectoryNow(dirname(path))
  }
  try {
    checkFile(path, fstatSync(descriptor), uid)
    return descriptor
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}

function checkFile(path: string, facts: Stats, uid: number): void {
  if (!facts.isFile()) throw new MailboxRefused(`${path} is not a file`)
  if (facts.uid !== uid) throw new MailboxRefused(`${path} belongs to uid ${facts.uid}`)
  if (facts.nlink > 1) throw new MailboxRefused(`${path} has ${facts.nlink} names`)
}

function isStill(path: string, { dev, ino, nlink }: Stats): boolean {
  const facts = lstatSync(path, { throwIfNoEntry: false })
  return nlink === 1 && facts?.dev === dev && facts.ino === ino
}

/** @returns what is on stable storage; the others have failed. */
async function writeBatch(descriptor: number, batch: readonly Waiting[]): Promise<Waiting[]> {
  const begin = fstatSync(descriptor).size
  const written: Waiting[] = []
  let end = begin
  for (const one of batch) {
    try {
      end += writeMessage(descriptor, one.message, end)
      written.push(one)
    } catch (error) {
      ftruncateSync(descriptor, end)
      one.failed(error)
    }
  }
  if (written.length === 0) return []
  try {
    await syncDescriptor(descriptor)
  } catch (error) {
    ftruncateSync(descriptor, begin)
    throw error
  }
  return written
}

/** @returns its octets, with what is missing of an empty line before it. */
function writeMessage(descriptor: number, message: Gathered, at: number): number {
  const gap = '\n'.repeat(missingNewlines(descriptor, at))
  writeWhole(descriptor, Buffer.from(gap))
  for (const piece of message.read()) writeWhole(descriptor, piece)
  return gap.length + message.size
}

function missingNewlines(descriptor: number, size: number): number {
  if (size === 0) return 0
  const tail = Buffer.alloc(Math.min(2, size))
  readSync(descriptor, tail, 0, tail.length, size - tail.length)
  if (tail[tail.length - 1] !== 0x0a) return 2
  return tail[0] === 0x0a ? 0 : 1
}
