/**
 * What each client may do: accounts by address, network, uid and authenticated user, each with its connections and
 * its use in the times that the `limits` section names.
 *
 * The message that reaches a limit passes whole, the next one does not: a message with more recipients than a
 * limit allows would otherwise never pass. Limits: `tableSize` accounts, those not seen for longest are forgotten
 * first; who has a session open stays. Pure but for the state it keeps; time comes in as an argument.
 */
import { type AddressMatcher, compileMatch } from '../../shared/config/address-match.ts'
import { networkOf } from '../../shared/config/network.ts'
import type { LimitsSlice, Quota } from '../../shared/config/slices.ts'
import { add, freeAt, newWindow, type Window } from './window.ts'

export const scopes = ['client', 'network', 'uid', 'policy', 'user'] as const
export type Scope = (typeof scopes)[number]

/** Whose mail it is. */
export interface Origin {
  /** '' for the local socket. */
  client: string
  uid?: number
  user?: string
  /** The policy that fits it; one with limits stands in for those of the uid. */
  policy?: string
}

export interface Account {
  readonly scope: Scope
  readonly name: string
  /** Sessions. */
  open: number
  quotas: readonly Quota[]
  /** One for each of `quotas`. */
  windows: Window[]
  /** When the log was last told of it. */
  toldAt: number
}

/** Who has done too much of what, and until when; `until` null: until one of its sessions ends. */
export interface Overrun {
  account: Account
  measure: Measure
  until: number | null
}

export type Measure = Quota['measure']
export type Amounts = Readonly<Record<Measure, number>>

/** What a message is measured by. */
export const OF_MAIL: ReadonlySet<Measure> = new Set(['messages', 'recipients', 'octets'])
const EVERYTHING: ReadonlySet<Measure> = new Set([...OF_MAIL, 'connections', 'refusals'])
export const NO_AMOUNTS: Amounts = { connections: 0, messages: 0, recipients: 0, octets: 0, refusals: 0 }
const ONE_CONNECTION: Amounts = { ...NO_AMOUNTS, connections: 1 }

export class ClientLimits {
  readonly #policy: () => LimitsSlice
  /** In the order of their last use. */
  readonly #accounts = new Map<string, Account>()
  #limits: LimitsSlice | null = null
  #isExempt: AddressMatcher = () => false

  constructor(policy: () => LimitsSlice) {
    this.#policy = policy
  }

  get size(): number {
    return this.#accounts.size
  }

  /** The accounts that this origin's doings go on; none where nothing is limited. */
  accountsOf(origin: Origin, now: number): Account[] {
    const limits = this.#current()
    return namesOf(origin, limits, this.#isExempt).flatMap(([scope, name, quotas]) =>
      quotas.length > 0 ? [this.#account(scope, name, quotas, now)] : [],
    )
  }

  /** One more session; null: it is welcome. */
  open(accounts: readonly Account[], now: number): Overrun | null {
    for (const account of accounts) {
      const crowd = account.quotas.find(({ period, count }) => period === null && account.open >= count)
      if (crowd) return { account, measure: 'connections', until: null }
    }
    const over = this.overrun(accounts, EVERYTHING, now)
    if (over) return over
    for (const account of accounts) account.open++
    this.charge(accounts, ONE_CONNECTION, now)
    return null
  }

  close(accounts: readonly Account[]): void {
    for (const account of accounts) account.open--
  }

  charge(accounts: readonly Account[], amounts: Amounts, now: number): void {
    for (const { quotas, windows } of accounts) {
      quotas.forEach(({ measure, period }, index) => {
        const window = windows[index]
        if (window && period !== null && amounts[measure] > 0) add(window, period, amounts[measure], now)
      })
    }
  }

  /** The limit on one of these measures that has been reached and lasts longest. */
  overrun(accounts: readonly Account[], measures: ReadonlySet<Measure>, now: number): Overrun | null {
    let worst: { account: Account; measure: Measure; until: number } | null = null
    for (const account of accounts) {
      account.quotas.forEach(({ count, measure, period }, index) => {
        const window = account.windows[index]
        if (!window || period === null || !measures.has(measure)) return
        const until = freeAt(window, period, count, now)
        if (until > (worst?.until ?? now)) worst = { account, measure, until }
      })
    }
    return worst
  }

  #current(): LimitsSlice {
    const limits = this.#policy()
    if (limits === this.#limits) return limits
    this.#limits = limits
    this.#isExempt = compileMatch(limits.exempt)
    return limits
  }

  #account(scope: Scope, name: string, quotas: readonly Quota[], now: number): Account {
    const key = `${scope} ${name}`
    const known = this.#accounts.get(key)
    if (known) this.#accounts.delete(key)
    else this.#forget(this.#current().tableSize - 1)
    const account = known ?? { scope, name, open: 0, quotas: [], windows: [], toldAt: 0 }
    this.#accounts.set(key, account)
    if (account.quotas !== quotas) renew(account, quotas, now)
    return account
  }

  /** Makes room; who has a session open stays, and counts as just seen. */
  #forget(most: number): void {
    let unseen = this.#accounts.size
    for (const [key, account] of this.#accounts) {
      if (this.#accounts.size <= most || unseen-- === 0) return
      this.#accounts.delete(key)
      if (account.open > 0) this.#accounts.set(key, account)
    }
  }
}

/** New limits after a reload; what stayed as it was keeps its count. */
function renew(account: Account, quotas: readonly Quota[], now: number): void {
  const { quotas: before, windows } = account
  account.windows = quotas.map(({ measure, period }) => {
    const index = before.findIndex((one) => one.measure === measure && one.period === period)
    return windows[index] ?? newWindow(now)
  })
  account.quotas = quotas
}

function namesOf(
  { client, uid, user, policy = '' }: Origin,
  limits: LimitsSlice,
  isExempt: AddressMatcher,
): [Scope, string, readonly Quota[]][] {
  const names: [Scope, string, readonly Quota[]][] = []
  if (client !== '' && !isExempt(client)) {
    names.push(['client', client, limits.client], ['network', networkOf(client), limits.network])
  }
  const own = Object.hasOwn(limits.policies, policy) ? limits.policies[policy] : undefined
  // a local caller whose uid the kernel does not tell is one with all others of that kind
  if (own) names.push(['policy', `${policy} ${user ?? uid ?? '-'}`, own])
  else if (client === '' && (uid === undefined || !limits.exemptUids.includes(uid)))
    names.push(['uid', String(uid ?? '-'), limits.uid])
  if (user !== undefined) names.push(['user', user, limits.user])
  return names
}
