/**
 * The brake on guessing passwords, for all smtpds together: failed logins by address and by account.
 *
 * A try counts as failed until it is told to have been right, so that guesses at the same time do not slip through.
 * An account under attack is not shut to its owner: networks from which it has logged in lately may go on trying,
 * until they are above the limit of their own address. Limits: `tableSize` of each, the oldest forgotten first.
 * Pure but for the state it keeps; time comes in as an argument.
 */
import { type AddressMatcher, compileMatch } from '../../shared/config/address-match.ts'
import { networkOf } from '../../shared/config/network.ts'
import type { LimitsSlice, Rate } from '../../shared/config/slices.ts'
import { add, freeAt, newWindow, type Window } from './window.ts'

/** How long a network is known for an account. */
const KNOWN_MS = 30 * 24 * 3600 * 1000
const LONGEST_NAME = 320

export interface LoginTry {
  /** '' for the local socket. */
  client: string
  login: string
}

export class Logins {
  /** Since the start. */
  passed = 0
  failed = 0
  braked = 0
  readonly #policy: () => LimitsSlice
  readonly #windows = new Map<string, Window>()
  /** When an account last logged in from a network. */
  readonly #known = new Map<string, number>()
  #limits: LimitsSlice | null = null
  #isExempt: AddressMatcher = () => false

  constructor(policy: () => LimitsSlice) {
    this.#policy = policy
  }

  /** Null: go on; else when the brake is let go. */
  begin(who: LoginTry, now: number): number | null {
    const limits = this.#current()
    const accounts = this.#accountsOf(who, limits, now)
    const until = Math.max(now, ...accounts.map(({ key, rate }) => this.#freeAt(key, rate, now)))
    if (until > now) {
      this.braked++
      return until
    }
    this.failed++
    for (const { key, rate } of accounts) this.#count(key, rate, 1, now)
    return null
  }

  /** The try was right, or nobody could tell. */
  over(who: LoginTry, passed: boolean, now: number): void {
    const limits = this.#current()
    for (const { key, rate } of this.#accountsOf(who, limits, now)) this.#count(key, rate, -1, now)
    this.failed = Math.max(0, this.failed - 1)
    if (!passed) return
    this.passed++
    if (who.client === '' || who.login === '') return
    keep(this.#known, pairOf(who), now, limits.tableSize)
  }

  #accountsOf(who: LoginTry, limits: LimitsSlice, now: number): { key: string; rate: Rate }[] {
    const { client, account } = limits.loginFailures
    const { client: address, login } = who
    const found = []
    if (address !== '' && !this.#isExempt(address)) found.push({ key: `client ${address}`, rate: client })
    const known = (this.#known.get(pairOf(who)) ?? Number.NEGATIVE_INFINITY) > now - KNOWN_MS
    if (login !== '' && !known) found.push({ key: `account ${nameOf(login)}`, rate: account })
    return found
  }

  #freeAt(key: string, { count, period }: Rate, now: number): number {
    const window = this.#windows.get(key)
    return window ? freeAt(window, period, count, now) : now
  }

  #count(key: string, { period }: Rate, amount: number, now: number): void {
    const window = this.#windows.get(key) ?? newWindow(now)
    add(window, period, amount, now)
    // what is taken back may have been counted in the window before
    window.current = Math.max(0, window.current)
    keep(this.#windows, key, window, this.#current().tableSize)
  }

  #current(): LimitsSlice {
    const limits = this.#policy()
    if (limits !== this.#limits) {
      this.#limits = limits
      this.#isExempt = compileMatch(limits.exempt)
    }
    return limits
  }
}

/** Logins fold, so that another way of writing one is no new account. */
function nameOf(login: string): string {
  return login.toLowerCase().slice(0, LONGEST_NAME)
}

function pairOf({ client, login }: LoginTry): string {
  return `${networkOf(client)} ${nameOf(login)}`
}

function keep<T>(table: Map<string, T>, key: string, value: T, most: number): void {
  table.delete(key)
  table.set(key, value)
  if (table.size <= most) return
  for (const oldest of table.keys()) {
    table.delete(oldest)
    return
  }
}
