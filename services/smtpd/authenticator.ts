/**
 * Who checks the claims of one listener's users: the password file, Dovecot, saslauthd, the OAuth server, the
 * client's certificate; with qmgr's brake in front of them all.
 *
 * Fails: what cannot be checked is 'unknown' and counts for nobody; a client that goes away in the middle of a check
 * has had a failed one.
 * Next: `accounts.ts`, `dovecot.ts`, `saslauthd.ts`, `oauth.ts`.
 */
import type { Log } from '../../shared/base/log.ts'
import type { AuthSlice } from '../../shared/config/login-slices.ts'
import { Accounts } from './accounts.ts'
import { Dovecot, type DovecotExchange } from './dovecot.ts'
import { type OAuth, openOAuth } from './oauth.ts'
import type { QueueBus } from './queue-bus.ts'
import { mechanisms } from './sasl.ts'
import type { Claim, Verdict } from './sasl-step.ts'
import { askSaslauthd } from './saslauthd.ts'
import type { Effect } from './state.ts'

type LoginBus = Pick<QueueBus, 'tryLogin' | 'loginOver'>
type Passwords =
  | { kind: 'file'; accounts: Accounts }
  | { kind: 'dovecot'; dovecot: Dovecot }
  | { kind: 'saslauthd'; path: string }

const SCRAM = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']
const TOKENS = ['OAUTHBEARER', 'XOAUTH2']
/** What Dovecot may speak for us; PLAIN and LOGIN we take apart ourselves, for the brake to see the login. */
const RELAYED = ['SCRAM-SHA-256', ...TOKENS]

export class Authenticator {
  readonly #slice: AuthSlice
  readonly #log: Log
  readonly #passwords: Passwords | null
  readonly #oauth: OAuth | null

  constructor(slice: AuthSlice, log: Log) {
    this.#slice = slice
    this.#log = log
    this.#passwords = openPasswords(slice.passwords, log)
    this.#oauth = slice.oauth && openOAuth(slice.oauth, log)
  }

  /** Best first. */
  mechanisms = (): readonly string[] => {
    const wanted = this.#slice.mechanisms
    const there = this.#available()
    return [...mechanisms.keys()].filter(
      (name) => there.has(name) && (wanted.length === 0 || wanted.includes(name)),
    )
  }

  relays = (mechanism: string): boolean => {
    if (this.#passwords?.kind !== 'dovecot' || !RELAYED.includes(mechanism)) return false
    return !(this.#oauth && TOKENS.includes(mechanism))
  }

  begin(client: string, secure: () => boolean, bus: LoginBus): LoginAttempts {
    return new LoginAttempts(
      { client, secure, bus, judge: (claim, relay) => this.#judge(claim, relay) },
      this.#log,
    )
  }

  close(): void {
    if (this.#passwords?.kind === 'dovecot') this.#passwords.dovecot.close()
  }

  #available(): Set<string> {
    const passwords = this.#passwords
    const names = new Set(passwords ? ['PLAIN', 'LOGIN'] : [])
    const add = (more: readonly string[]) => {
      for (const name of more) names.add(name)
    }
    if (passwords?.kind === 'file' && (passwords.accounts.hasScramOnly || this.#slice.mechanisms.length > 0))
      add(SCRAM)
    if (passwords?.kind === 'dovecot') add(RELAYED.filter((name) => passwords.dovecot.offers(name)))
    if (this.#oauth) add(TOKENS)
    if (this.#slice.certificates) add(['EXTERNAL'])
    return names
  }

  async #judge(claim: Claim, relay: Relay): Promise<Verdict> {
    const passwords = this.#passwords
    switch (claim.kind) {
      case 'password':
        if (passwords?.kind === 'file') return passwords.accounts.checkPassword(claim.login, claim.password)
        if (passwords?.kind === 'saslauthd')
          return askSaslauthd(passwords.path, claim.login, claim.password, this.#log)
        return passwords ? passwords.dovecot.checkPassword(claim.login, claim.password, relay.who) : UNKNOWN
      case 'keys':
        return passwords?.kind === 'file' ? passwords.accounts.keysOf(claim.login) : UNKNOWN
      case 'token':
        return this.#oauth ? this.#oauth(claim.login, claim.token) : UNKNOWN
      case 'certificate':
        return { kind: 'true', login: claim.login }
      case 'relayed':
        if (passwords?.kind !== 'dovecot') return UNKNOWN
        relay.exchange = passwords.dovecot.begin(claim.mechanism, claim.initial, relay.who)
        return relay.exchange.verdict()
      case 'relayed-response':
        return relay.exchange ? relay.exchange.respond(claim.data) : UNKNOWN
      default:
        return claim satisfies never
    }
  }
}

const UNKNOWN: Verdict = { kind: 'unknown' }

function openPasswords(from: AuthSlice['passwords'], log: Log): Passwords | null {
  if (!from) return null
  if (from.kind === 'file') return { kind: 'file', accounts: new Accounts(from.path, log) }
  if (from.kind === 'dovecot') return { kind: 'dovecot', dovecot: new Dovecot(from.path, log) }
  return { kind: 'saslauthd', path: from.path }
}

export interface Who {
  client: string
  secure: boolean
}

interface Relay {
  who: Who
  exchange: DovecotExchange | null
}

type LoginEnd = Extract<Effect, { kind: 'logged-in' | 'not-logged-in' }>

interface AttemptsOptions {
  client: string
  secure: () => boolean
  bus: LoginBus
  judge: (claim: Claim, relay: Relay) => Promise<Verdict>
}

/** The logins of one session. */
export class LoginAttempts {
  readonly #options: AttemptsOptions
  readonly #log: Log
  #relay: Relay | null = null
  /** Counted by qmgr, and not yet over. */
  #tried: string | null = null

  constructor(options: AttemptsOptions, log: Log) {
    this.#options = options
    this.#log = log
  }

  check(claim: Claim, answered: (verdict: Verdict) => void): void {
    if (claim.kind === 'relayed-response') return this.#judge(claim, answered)
    const { bus, client, secure } = this.#options
    this.#relay = { who: { client, secure: secure() }, exchange: null }
    bus.tryLogin({ client, login: claim.login }, (answer) => {
      if (!answer) return answered(UNKNOWN)
      if (answer.kind === 'braked') return answered({ kind: 'braked' })
      this.#tried = claim.login
      this.#judge(claim, answered)
    })
  }

  /** What came of it; a login that was wrong stays counted. */
  over(end: LoginEnd): void {
    const login = this.#tried
    this.#tried = null
    const passed = end.kind === 'logged-in'
    if (login === null || (!passed && end.why !== 'unknown')) return
    this.#options.bus.loginOver({ client: this.#options.client, login, passed })
  }

  #judge(claim: Claim, answered: (verdict: Verdict) => void): void {
    const relay = this.#relay
    if (!relay) return answered(UNKNOWN)
    this.#options.judge(claim, relay).then(answered, (error: unknown) => {
      this.#log.error({ err: error }, 'a login could not be checked')
      answered(UNKNOWN)
    })
  }
}
