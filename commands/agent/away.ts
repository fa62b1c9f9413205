/**
 * Accounts that cannot be used at the moment: no network, no password, a provider that refuses us. While one is away
 * none of its mail in the outbox is tried, so that a hundred messages ask for one password and not for a hundred.
 * Pure. Each further failure waits as long as the outbox waits between attempts; any answer to a message ends it.
 */
import { waitAfter } from './attempt.ts'

interface Absence {
  failures: number
  /** Milliseconds since 1970. */
  until: number
}

export class Away {
  readonly #accounts = new Map<string, Absence>()

  /** @param reached what became of an attempt by this account. */
  note(account: string, reached: boolean, retry: readonly number[], now: number): void {
    if (reached) return void this.#accounts.delete(account)
    const before = this.#accounts.get(account)
    // those that were under way together have failed once
    if (before && before.until > now) return
    const failures = (before?.failures ?? 0) + 1
    this.#accounts.set(account, { failures, until: now + waitAfter(failures, retry) })
  }

  /** When the account is to be tried again, milliseconds since 1970; 0: at any time. */
  until(account: string): number {
    return this.#accounts.get(account)?.until ?? 0
  }

  /** Somebody knows better: all may be tried. */
  forget(): void {
    this.#accounts.clear()
  }
}
