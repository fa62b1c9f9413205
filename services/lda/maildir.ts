/**
 * One Maildir (https://cr.yp.to/proto/maildir.html): write to `tmp`, fsync, rename to `new`, fsync `new`.
 *
 * A copy counts as delivered when file and name are on stable storage, not before. Until `commit` it can be
 * discarded without a trace; a commit that fails takes back what it did, as far as it can. An fsync error
 * condemns the descriptor: nothing that was written through it is called delivered.
 *
 * Maildir, `tmp`, `new` and `cur` must be directories (not links) of our own uid; missing ones are made with
 * mode 0700 and made durable. A missing home is made only in a directory of our own (mailboxes of virtual users
 * below one place); in anybody else's, `/home` say, it is most likely not mounted.
 * Calls are synchronous where the kernel only touches its cache, asynchronous where it waits for the disk:
 * measured, one process stores 8,000 small messages a second that way, at 0.15 ms of CPU each.
 */
import {
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { makeDirectories } from './directories.ts'
import { DirectorySync, syncDescriptor } from './directory-sync.ts'
import { MailboxRefused } from './failure.ts'

const OTHERS_WRITE = 0o002
const FILE_MODE = 0o600
/** The Maildir specification: what lies in tmp for longer belongs to nobody. */
const STALE_MS = 36 * 60 * 60 * 1000

export class Maildir {
  readonly path: string
  readonly #directories: readonly string[]
  readonly #sync: DirectorySync

  constructor(path: string) {
    this.path = path
    this.#directories = [path, join(path, 'tmp'), join(path, 'new'), join(path, 'cur')]
    this.#sync = new DirectorySync(join(path, 'new'))
  }

  /** Throws when the mailbox is not as it must be. Cheap: it runs before every delivery. */
  check(uid: number): void {
    for (const directory of this.#directories) checkDirectory(directory, uid)
  }

  /** Makes what is missing, durably; false when nothing was missing. */
  create(home: string, uid: number): boolean {
    return makeDirectories(home, this.path, uid, this.#directories).length > 0
  }

  /** Throws with the kernel's code. @param tally the quota that the copy counts for. */
  begin(name: string, tally: Tally | null = null): Copy {
    try {
      return new Copy(this.path, name, this.#sync, tally)
    } catch (error) {
      tally?.release()
      throw error
    }
  }

  /** Removes what crashed writers left in tmp long ago; the number of files removed. */
  sweep(now: number): number {
    const tmp = join(this.path, 'tmp')
    let removed = 0
    for (const name of readdirSync(tmp)) {
      const file = join(tmp, name)
      const facts = lstatSync(file, { throwIfNoEntry: false })
      if (!facts?.isFile() || now - facts.mtimeMs < STALE_MS) continue
      if (removeQuietly(file)) removed++
    }
    return removed
  }
}

/** Where the octets of a copy are counted, and the room that was kept for it. */
export interface Tally {
  room: { add: (octets: number) => void }
  release: () => void
}

/** One file on its way into the Maildir. */
export class Copy {
  readonly #tmp: string
  readonly #final: string
  readonly #sync: DirectorySync
  readonly #tally: Tally | null
  #size = 0
  #descriptor: number | null

  constructor(maildir: string, name: string, sync: DirectorySync, tally: Tally | null) {
    this.#tmp = join(maildir, 'tmp', name)
    this.#final = join(maildir, 'new', name)
    this.#sync = sync
    this.#tally = tally
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
    this.#descriptor = openSync(this.#tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE)
  }

  /** Throws with the kernel's code; `discard` then. */
  write(octets: Uint8Array): void {
    if (this.#descriptor === null) throw new Error('write to a copy that is closed')
    for (let done = 0; done < octets.length; ) done += writeSync(this.#descriptor, octets, done)
    this.#size += octets.length
  }

  /** Resolves when the copy is delivered for good; rejects with nothing left behind, where that is possible. */
  async commit(): Promise<void> {
    if (this.#descriptor === null) throw new Error('commit of a copy that is closed')
    // a quota is counted by the names (Maildir++)
    const final = this.#tally ? `${this.#final},S=${this.#size}` : this.#final
    try {
      await syncDescriptor(this.#descriptor)
      this.#close()
      renameSync(this.#tmp, final)
    } catch (error) {
      this.discard()
      throw error
    }
    try {
      await this.#sync.join()
      this.#tally?.room.add(this.#size)
    } catch (error) {
      removeQuietly(final) // it may be gone after a power cut: so it is not delivered
      throw error
    } finally {
      this.#tally?.release()
    }
  }

  discard(): void {
    this.#tally?.release()
    try {
      this.#close()
    } catch {
      // the descriptor is gone either way
    }
    removeQuietly(this.#tmp)
  }

  #close(): void {
    const descriptor = this.#descriptor
    this.#descriptor = null
    if (descriptor !== null) closeSync(descriptor)
  }
}

function checkDirectory(path: string, uid: number): void {
  const facts = lstatSync(path)
  if (!facts.isDirectory()) throw new MailboxRefused(`${path} is not a directory`)
  if (facts.uid !== uid) throw new MailboxRefused(`${path} belongs to uid ${facts.uid}`)
  if ((facts.mode & OTHERS_WRITE) !== 0) throw new MailboxRefused(`others can write to ${path}`)
}

function removeQuietly(file: string): boolean {
  try {
    unlinkSync(file)
    return true
  } catch {
    return false // gone already, or the disk is in no state to be asked
  }
}
