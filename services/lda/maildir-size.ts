/**
 * The quota of a Maildir, kept in its file `maildirsize` as Maildir++ has it
 * (https://www.courier-mta.org/imap/README.maildirquota.html), so that Dovecot and Courier count the same mail.
 *
 * The first line is the quota, `1000000S,500C`; each other one is added to the sum: octets and messages, negative ones
 * where mail went. The file is made anew by looking at all messages where it is missing, longer than MOST_FILE, of another
 * quota, or says that the Maildir is full and is not from just now. Messages in Trash and those marked as deleted do not
 * count. Messages that are being written are counted in memory.
 *
 * Fails: `QuotaExceeded` from `reserve`, or the kernel's error.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Quota } from '../../shared/message/route.ts'
import { errorCode, QuotaExceeded } from './failure.ts'

const MOST_FILE = 5120
const FRESH_MS = 15 * 60 * 1000

export interface Sum {
  octets: number
  messages: number
}

export class MaildirSize {
  readonly #path: string
  readonly #now: () => number
  readonly #reserved: Sum = { octets: 0, messages: 0 }

  constructor(maildir: string, now: () => number) {
    this.#path = maildir
    this.#now = now
  }

  /** Room for a message; `release` when it is counted by `add`, or will not come. */
  reserve(quota: Quota, octets: number): () => void {
    const known = this.#read(quota)
    if (!known || (this.#isOver(known.sum, quota, octets) && !known.fresh)) {
      if (this.#isOver(this.#recount(quota), quota, octets)) throw new QuotaExceeded(this.#path)
    } else if (this.#isOver(known.sum, quota, octets)) throw new QuotaExceeded(this.#path)
    this.#reserved.octets += octets
    this.#reserved.messages++
    let open = true
    return () => {
      if (!open) return
      open = false
      this.#reserved.octets -= octets
      this.#reserved.messages--
    }
  }

  /** A message is there. The sum is a help, and not worth more than the message: what fails here is left. */
  add(octets: number): void {
    try {
      const { O_WRONLY, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = constants
      const descriptor = openSync(this.#file, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK)
      try {
        writeSync(descriptor, `${octets} 1\n`)
      } finally {
        closeSync(descriptor)
      }
    } catch {
      // the next one counts them all
    }
  }

  get #file(): string {
    return join(this.#path, 'maildirsize')
  }

  #isOver({ octets, messages }: Sum, quota: Quota, more: number): boolean {
    const full = quota.octets > 0 && octets + this.#reserved.octets + more > quota.octets
    return full || (quota.messages > 0 && messages + this.#reserved.messages + 1 > quota.messages)
  }

  #read(quota: Quota): { sum: Sum; fresh: boolean } | null {
    let descriptor: number | null = null
    try {
      const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
      descriptor = openSync(this.#file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      const facts = fstatSync(descriptor)
      if (!facts.isFile() || facts.size > MOST_FILE) return null
      const sum = parseMaildirSize(readFileSync(descriptor, 'latin1'), quota)
      return sum && { sum, fresh: sum.lines === 1 && this.#now() - facts.mtimeMs < FRESH_MS }
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ELOOP') return null
      throw error
    } finally {
      if (descriptor !== null) closeSync(descriptor)
    }
  }

  #recount(quota: Quota): Sum {
    const sum = countMaildir(this.#path)
    const made = join(this.#path, 'tmp', `maildirsize.${process.pid}`)
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants
    const descriptor = openSync(made, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600)
    try {
      writeSync(descriptor, `${headOf(quota)}\n${sum.octets} ${sum.messages}\n`)
    } finally {
      closeSync(descriptor)
    }
    renameSync(made, this.#file)
    return sum
  }
}

/** Null: of another quota, or not to be understood. */
export function parseMaildirSize(text: string, quota: Quota): (Sum & { lines: number }) | null {
  const [head = '', ...lines] = text.split('\n')
  if (head !== headOf(quota) || lines.pop() !== '') return null
  const sum = { octets: 0, messages: 0, lines: lines.length }
  for (const line of lines) {
    const [, octets, messages] = /^ *(-?\d{1,15}) +(-?\d{1,15}) *$/.exec(line) ?? []
    if (octets === undefined) return null
    sum.octets += Number(octets)
    sum.messages += Number(messages)
  }
  return sum.octets < 0 || sum.messages < 0 ? null : sum
}

function headOf({ octets, messages }: Quota): string {
  return `${octets}S${messages > 0 ? `,${messages}C` : ''}`
}

function countMaildir(path: string): Sum {
  const folders = readdirSync(path, { withFileTypes: true }).filter(
    (one) => one.isDirectory() && /^\.[^.]/.test(one.name) && one.name !== '.Trash',
  )
  const sum = { octets: 0, messages: 0 }
  for (const folder of [path, ...folders.map(({ name }) => join(path, name))]) {
    for (const part of ['new', 'cur']) countPart(join(folder, part), sum)
  }
  return sum
}

function countPart(path: string, sum: Sum): void {
  for (const name of namesIn(path)) {
    if (name.startsWith('.') || /:2,[A-Z]*T/.test(name)) continue
    const known = /,S=(\d{1,15})(?=[,:]|$)/.exec(name)?.[1]
    const facts = known === undefined ? lstatSync(join(path, name), { throwIfNoEntry: false }) : undefined
    if (known === undefined && !facts?.isFile()) continue
    sum.octets += known === undefined ? (facts?.size ?? 0) : Number(known)
    sum.messages++
  }
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return [] // a folder that is none
  }
}
