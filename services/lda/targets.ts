/**
 * From a route to something that can be written to: a Maildir or a folder of it, an mbox, a file, a command; each of them
 * checked before each delivery. What a zone says and what an alias names is one and the same here.
 *
 * Fails: `MailboxRefused`, `QuotaExceeded`, the kernel's errors. Next: `maildir.ts`, `mbox.ts`, `command.ts`.
 */
import { dirname, join } from 'node:path'
import type { Log } from '../../shared/base/log.ts'
import type { Payload } from '../../shared/bus/messages.ts'
import type { Mailbox, Route } from '../../shared/message/route.ts'
import { runCommand } from './command.ts'
import { aliasCommand, environmentOf, wordsOf } from './command-line.ts'
import { checkWay, makeDirectories } from './directories.ts'
import { errorCode, MailboxRefused } from './failure.ts'
import { Gathered } from './gathered.ts'
import { beginCommand } from './leftovers.ts'
import { Maildir } from './maildir.ts'
import { MaildirSize } from './maildir-size.ts'
import { Mbox } from './mbox.ts'
import { fromLine, MboxLines } from './mbox-lines.ts'
import { SealedCopy } from './sealed-copy.ts'
import { type CopyPlan, traceHeader } from './trace-header.ts'

/** A message on its way to where it belongs. */
export interface Copy {
  write: (octets: Uint8Array) => void
  /** When more may come; null: now. */
  pending?: () => Promise<void> | null
  commit: () => Promise<void>
  discard: () => void
}

export interface TargetsOptions {
  uid: number
  gid: number
  log: Log
  now: () => number
  /** A name that no other file in the Maildir has, nor will have. */
  name: (now: number) => string
  /** Milliseconds. */
  commandTimeout: () => number
}

type LocalRoute = Extract<Route, { kind: 'local' }>
type Occasion = Pick<Payload<'deliver'>, 'sender' | 'body' | 'size'>

/** The way to a mailbox is looked at again when the last look is as old. */
const LOOK_MS = 1000
/** Mailboxes that are remembered; with one more all are forgotten. */
const MOST_KNOWN = 10_000

export class Targets {
  readonly #options: TargetsOptions
  readonly #maildirs = new Map<string, Maildir>()
  readonly #sizes = new Map<string, MaildirSize>()
  readonly #mboxes = new Map<string, Mbox>()
  readonly #looked = new Map<string, number>()

  constructor(options: TargetsOptions) {
    this.#options = options
  }

  /** Makes ready what the route names; the answer begins one copy. */
  open(route: LocalRoute, request: Occasion): (plan: CopyPlan) => Copy {
    const mailbox = mailboxOf(route)
    switch (mailbox.format) {
      case 'maildir':
        return this.#maildir(mailbox, request)
      case 'mbox':
      case 'file':
        return this.#mbox(mailbox, request)
      case 'pipe':
        return this.#pipe(mailbox, request)
    }
  }

  #maildir(mailbox: Mailbox, { sender, body, size }: Occasion): (plan: CopyPlan) => Copy {
    const { name, now } = this.#options
    const inbox = this.#openMaildir(mailbox)
    const maildir = (mailbox.folder !== undefined && this.#folder(inbox, mailbox.folder)) || inbox
    const binary = body === 'binarymime'
    return (plan) => {
      const at = now()
      const trace = (newline: '\n' | '\r\n') => traceHeader(sender, plan, newline)
      const plain = binary ? '\r\n' : '\n'
      const top = mailbox.encryption ? Buffer.alloc(0) : trace(plain)
      const room = mailbox.quota && this.#sizeOf(inbox.path)
      const reserved = room && mailbox.quota ? room.reserve(mailbox.quota, size + top.length) : null
      const copy = maildir.begin(name(at), room && reserved ? { room, release: reserved } : null)
      const { encryption, home } = mailbox
      if (encryption) return new SealedCopy(copy, { encryption, home, now: at, binary, trace })
      return startWith(copy, top)
    }
  }

  #sizeOf(path: string): MaildirSize {
    return remember(this.#sizes, path, () => new MaildirSize(path, this.#options.now))
  }

  #openMaildir({ path, home }: Mailbox): Maildir {
    const { uid, log, now } = this.#options
    const known = this.#maildirs.get(path)
    const maildir = known ?? new Maildir(path)
    try {
      this.#look(path)
      maildir.check(uid)
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error
      if (maildir.create(home, uid)) log.info({ maildir: path }, 'maildir made')
      this.#look(path)
      maildir.check(uid)
    }
    if (known) return known
    const swept = maildir.sweep(now())
    if (swept > 0) log.info({ maildir: path, swept }, 'stale files removed')
    return remember(this.#maildirs, path, () => maildir)
  }

  /** Null where the Maildir has no such folder: whoever writes to us does not make folders. */
  #folder(inbox: Maildir, name: string): Maildir | null {
    const path = join(inbox.path, `.${name}`)
    const folder = this.#maildirs.get(path) ?? new Maildir(path)
    try {
      folder.check(this.#options.uid)
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENAMETOOLONG') return null
      throw error
    }
    return remember(this.#maildirs, path, () => folder)
  }

  #mbox(mailbox: Mailbox, { sender, body }: Occasion): (plan: CopyPlan) => Copy {
    const { path, home } = mailbox
    const { uid, now } = this.#options
    if (path === '/dev/null') return () => nowhere
    if (!path.startsWith('/')) throw new MailboxRefused(`${path} does not begin at /`)
    const directory = dirname(path)
    try {
      this.#look(directory)
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error
      makeDirectories(home, path, uid, [])
      this.#look(directory)
    }
    const dotLock = mailbox.format === 'mbox'
    const mbox = remember(this.#mboxes, path, () => new Mbox({ path, uid, dotLock, now }))
    const newline = body === 'binarymime' ? '\r\n' : '\n'
    return (plan) => {
      const message = new Gathered([directory, home])
      const lines = new MboxLines()
      message.write(Buffer.from(fromLine(sender, now())))
      const copy: Copy = {
        write: (octets) => message.write(lines.push(octets)),
        commit: async () => {
          try {
            message.write(lines.end())
            await mbox.append(message)
          } finally {
            message.close()
          }
        },
        discard: () => message.close(),
      }
      return startWith(copy, traceHeader(sender, plan, newline))
    }
  }

  #pipe(mailbox: Mailbox, { sender, body }: Occasion): (plan: CopyPlan) => Copy {
    const { command, home } = mailbox
    if (!command) throw new MailboxRefused('the route has no command')
    const { now, log, commandTimeout, name } = this.#options
    beginCommand()
    this.#look(home)
    return (plan) => {
      const message = new Gathered([home])
      if (command.fromLine) message.write(Buffer.from(fromLine(sender, now())))
      const mark = name(now())
      const occasion = { sender, recipient: plan.address, original: plan.originals[0] ?? plan.address, mark }
      const terms = {
        words: wordsOf(command),
        env: environmentOf(mailbox, command, occasion),
        home,
        timeout: commandTimeout(),
        mark,
        onWords: (said: string) => log.info({ to: plan.address, said }, 'the command said'),
      }
      const commit = () => runCommand(message, terms).finally(() => message.close())
      const copy: Copy = {
        write: (octets) => message.write(octets),
        commit,
        discard: () => message.close(),
      }
      return startWith(copy, traceHeader(sender, plan, body === 'binarymime' ? '\r\n' : '\n'))
    }
  }

  /** Whether nobody else can put something in the place of it. Names above it change seldom, and a look costs. */
  #look(directory: string): void {
    const { now, uid, gid } = this.#options
    const at = now()
    const last = this.#looked.get(directory)
    if (last !== undefined && at - last < LOOK_MS && at >= last) return
    this.#looked.delete(directory)
    checkWay(directory, { uid, gid })
    remember(this.#looked, directory, () => at)
  }
}

/** What an alias names takes the place of the mailbox of its user. */
export function mailboxOf({ mailbox, delivery }: LocalRoute): Mailbox {
  if (!delivery) return mailbox
  const { user, uid, gid, home } = mailbox
  const owner = { user, uid, gid, home }
  if (delivery.kind === 'file') return { ...owner, format: 'file', path: delivery.path }
  return { ...owner, format: 'pipe', path: '', command: aliasCommand(delivery.command, delivery.user) }
}

const nowhere: Copy = { write: () => undefined, commit: () => Promise.resolve(), discard: () => undefined }

function startWith(copy: Copy, top: Uint8Array): Copy {
  try {
    copy.write(top)
    return copy
  } catch (error) {
    copy.discard()
    throw error
  }
}

function remember<T>(all: Map<string, T>, path: string, make: () => T): T {
  const known = all.get(path)
  if (known !== undefined) return known
  if (all.size >= MOST_KNOWN) all.clear()
  const made = make()
  all.set(path, made)
  return made
}
