/**
 * The accounts of one password file: looked at with each login, read again when the file has changed, so a password
 * that is set holds at once.
 *
 * Checks run on libuv's threads, MOST_AT_ONCE at a time and MOST_WAITING in line: a flood of logins fills neither
 * memory nor, for long, the threads that the process needs for other things. An unknown login costs as much time as
 * a known one.
 * Fails: a file that cannot be read gives 'unknown', and is logged; bad lines are logged once, by line.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { readFileSync, type Stats, statSync } from 'node:fs'
import {
  type Accounts as Entries,
  LARGEST_PASSWORD_FILE,
  parsePasswordFile,
} from '../../shared/auth/password-file.ts'
import { matches, type PasswordHash } from '../../shared/auth/password-hash.ts'
import type { Log } from '../../shared/base/log.ts'
import type { ScramKeys } from '../../shared/smtp/scram.ts'
import type { Verdict } from './sasl-step.ts'

const MOST_AT_ONCE = 2
const MOST_WAITING = 100
const FAULTS_TOLD = 10
/** Compared with when there is no such login. */
const NOBODY: PasswordHash = {
  ...{ kind: 'scrypt', cost: 15, blockSize: 8, parallel: 1 },
  ...{ salt: Buffer.alloc(16), hash: Buffer.alloc(32) },
}
const USUAL_ITERATIONS = 100_000

export class Accounts {
  readonly #path: string
  readonly #log: Log
  /** For the salts of those who do not exist; the same for each as long as we live. */
  readonly #secret = randomBytes(32)
  readonly #waiting: (() => void)[] = []
  #running = 0
  #stamp = ''
  #entries: Entries | null = null
  #scramOnly = false

  constructor(path: string, log: Log) {
    this.#path = path
    this.#log = log
  }

  async checkPassword(login: string, password: string): Promise<Verdict> {
    const entries = this.#current()
    if (!entries || this.#waiting.length >= MOST_WAITING) return { kind: 'unknown' }
    const stored = entries.get(login)
    await this.#turn()
    const fits = await matches(stored ?? this.#stranger(entries), password)
    this.#running--
    this.#waiting.shift()?.()
    return fits && stored ? { kind: 'true', login } : { kind: 'false' }
  }

  /** Keys for SCRAM; made up where there are none, so that nobody learns who exists. */
  keysOf(login: string): Verdict {
    const entries = this.#current()
    if (!entries) return { kind: 'unknown' }
    const stored = entries.get(login)
    if (stored?.kind === 'scram') return { kind: 'keys', keys: stored.keys, known: true }
    return { kind: 'keys', keys: this.#invent(login, entries), known: false }
  }

  /** SCRAM is of use only where its keys are stored. */
  get hasScramOnly(): boolean {
    return this.#current() !== null && this.#scramOnly
  }

  async #turn(): Promise<void> {
    if (this.#running >= MOST_AT_ONCE) await new Promise<void>((go) => this.#waiting.push(go))
    this.#running++
  }

  #stranger(entries: Entries): PasswordHash {
    const [first] = entries.values()
    return first && first.kind !== 'locked' ? first : NOBODY
  }

  #invent(login: string, entries: Entries): ScramKeys {
    const made = (what: string) => createHmac('sha256', this.#secret).update(`${what} ${login}`).digest()
    const [first] = entries.values()
    const [iterations, octets] =
      first?.kind === 'scram' ? [first.keys.iterations, first.keys.salt.length] : [USUAL_ITERATIONS, 16]
    const salt = made('salt').subarray(0, octets)
    return { iterations, salt, storedKey: made('stored'), serverKey: made('server') }
  }

  #current(): Entries | null {
    try {
      const stat = statSync(this.#path)
      const stamp = `${stat.ino}:${stat.mtimeMs}:${stat.size}`
      if (stamp !== this.#stamp) this.#read(stat, stamp)
    } catch (error) {
      if (this.#stamp !== 'none')
        this.#log.error({ file: this.#path, why: String(error) }, 'password file cannot be read')
      this.#stamp = 'none'
      this.#entries = null
    }
    return this.#entries
  }

  #read(stat: Stats, stamp: string): void {
    this.#stamp = stamp
    if (stat.size > LARGEST_PASSWORD_FILE) throw new Error('larger than a password file may be')
    const { value, faults } = parsePasswordFile(readFileSync(this.#path, 'utf8'))
    this.#entries = value
    this.#scramOnly = [...value.values()].every(({ kind }) => kind === 'scram' || kind === 'locked')
    for (const { line, why } of faults.slice(0, FAULTS_TOLD))
      this.#log.error({ file: this.#path, line, why }, 'password file has a bad line')
  }
}
