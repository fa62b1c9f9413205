/**
 * How long a client may take: for each part of a session as a whole, for each command, for the session.
 *
 * The idle timer of a socket is met by one octet now and then; these are not. Nothing is done for them but where a
 * session goes from one part into another: the listener looks at all its sessions once a second (`overdue`). When it
 * finds that it is us who are waited for, the deadlines move on by the time since its last look; so they hold to
 * within a second or two. Pure but for what it keeps; times in milliseconds since 1970.
 */
import type { PatienceSlice } from '../../shared/config/patience.ts'
import type { Phase, PhaseName } from './state.ts'

/** Parts of a session that have a deadline of their own. */
export type Part = 'handshake' | 'hello' | 'login' | 'envelope' | 'content'
/** What a client has taken too long for. */
export type Limit = Part | 'command' | 'session'

/** `idle`: the client may do nothing for as long as `command-timeout`; `ours`: it waits for us. */
const partOf: Readonly<Record<Exclude<PhaseName, 'inquiry' | 'lookup'>, Part | 'idle' | 'ours'>> = {
  connect: 'ours',
  delay: 'ours',
  start: 'hello',
  ready: 'idle',
  mail: 'envelope',
  admit: 'ours',
  data: 'content',
  chunks: 'content',
  chunk: 'content',
  address: 'ours',
  check: 'ours',
  commit: 'ours',
  why: 'idle',
  auth: 'login',
  verifying: 'login',
  securing: 'handshake',
  closed: 'ours',
}

/** The option by which it is bounded, for the log. */
export const optionOf: Readonly<Record<Limit, string>> = {
  handshake: 'handshake-deadline',
  hello: 'hello-deadline',
  login: 'login-deadline',
  envelope: 'envelope-deadline',
  content: 'content-deadline',
  command: 'command-timeout',
  session: 'session-deadline',
}

/** What a look finds. */
export interface Found {
  /** It is not the client who keeps us waiting. */
  waitsForUs: boolean
  /** Octets of content are expected, not a command. */
  receiving: boolean
  /** Octets of this message that have come. */
  octets: number
}

export class Patience {
  readonly #slice: PatienceSlice
  readonly #commandTimeout: number
  #sessionUntil: number
  #part: Part | 'idle' | 'ours' = 'ours'
  #until = Number.POSITIVE_INFINITY
  #commandUntil: number
  #lookedAt: number

  constructor(slice: PatienceSlice, commandTimeout: number, now: number) {
    this.#slice = slice
    this.#commandTimeout = commandTimeout
    this.#commandUntil = now + commandTimeout
    this.#sessionUntil = now + slice.session
    this.#lookedAt = now
  }

  /** The session is in this phase from now on. */
  entered(phase: Phase, now: number): void {
    const before = phase.at === 'lookup' ? phase.back : phase
    const settled = before.at === 'inquiry' ? before.back : before
    const part = partOf[settled.at]
    if (part === this.#part) return
    this.#part = part
    this.#until = part === 'idle' || part === 'ours' ? Number.POSITIVE_INFINITY : now + this.#slice[part]
  }

  /** The client was told something, and it is its turn. */
  answered(now: number): void {
    this.#commandUntil = now + this.#commandTimeout
  }

  /** So many octets are to come that are no part of a message. */
  skips(octets: number, now: number): void {
    this.#commandUntil = now + this.#slice.content + this.#earned(octets)
  }

  /** What the client has taken too long for; null: it is in time. */
  overdue({ waitsForUs, receiving, octets }: Found, now: number): Limit | null {
    const passed = now - this.#lookedAt
    this.#lookedAt = now
    if (waitsForUs) {
      this.#until += passed
      this.#commandUntil += passed
      return null
    }
    const isContent = this.#part === 'content'
    const until = isContent ? this.#until + this.#earned(octets) : this.#until
    if (now > until) return this.#part as Part
    if (!(isContent && receiving) && now > this.#commandUntil) return 'command'
    if (now <= this.#sessionUntil) return null
    // once: a transaction in hand is finished
    this.#sessionUntil = Number.POSITIVE_INFINITY
    return 'session'
  }

  #earned(octets: number): number {
    return (octets / this.#slice.contentRate) * 1000
  }
}
