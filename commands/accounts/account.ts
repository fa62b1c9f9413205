/**
 * An account as the agent uses it, and which one a message goes by. Pure.
 *
 * The choice: the account that was asked for by name; else the one whose `from` fits the reverse-path; else the
 * one whose `from` fits the header's From; else the default. Of two that fit, the one that says more decides
 * (fewer characters left to `*`), then the first in the file.
 */
import type { Reply } from '../../shared/message/outcome.ts'
import { noAccountReply } from '../../shared/smtp-client/agent.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import { matchesPattern, type RecipientElement } from './patterns.ts'
import type { Confirm, Mechanism, Secret } from './values.ts'

export interface Account {
  name: string
  from: readonly string[]
  isDefault: boolean
  sender: string | null
  host: string
  port: number
  protocol: 'smtp' | 'lmtp'
  tls: 'implicit' | 'starttls' | 'none'
  trust: string | null
  fingerprints: readonly string[]
  certificate: string | null
  key: string | null
  socks: { host: string; port: number } | null
  hello: string
  user: string | null
  mechanisms: readonly Mechanism[]
  secret: Secret | null
  tokenCommand: string | null
  confirm: Confirm
  /** Those that are asked about; null: everybody. */
  confirmRecipients: readonly RecipientElement[] | null
  /** Milliseconds, as all times here. */
  grant: number
  outbox: boolean
  timeout: number
}

export interface AgentSettings {
  idle: number
  /** Octets. */
  sizeLimit: number
  retry: readonly number[]
  lifetime: number
}

export interface Accounts {
  accounts: readonly Account[]
  agent: AgentSettings
}

export interface Wanted {
  /** `-a`; null: not said. */
  name: string | null
  /** The reverse-path as the caller has it: '' null, or without a domain. */
  sender: string
  /** The first address of From; ''. */
  from: string
}

export type Choice = { kind: 'account'; account: Account } | { kind: 'none'; why: Reply }

export function chooseAccount(accounts: readonly Account[], wanted: Wanted): Choice {
  if (wanted.name !== null) {
    const named = accounts.find(({ name }) => name === wanted.name)
    if (named) return { kind: 'account', account: named }
    const known = accounts.map(({ name }) => name).join(', ')
    return { kind: 'none', why: own(550, '5.7.1', `there is no account ${wanted.name}; there is ${known}`) }
  }
  for (const address of [wanted.sender, wanted.from]) {
    const account = address.includes('@') ? bestFit(accounts, address) : null
    if (account) return { kind: 'account', account }
  }
  const usual = accounts.find(({ isDefault }) => isDefault)
  if (usual) return { kind: 'account', account: usual }
  return { kind: 'none', why: noAccountReply(wanted.sender || wanted.from || 'the null sender') }
}

function bestFit(accounts: readonly Account[], address: string): Account | null {
  let best: Account | null = null
  let most = -1
  for (const account of accounts) {
    const said = fit(account.from, address)
    if (said <= most) continue
    most = said
    best = account
  }
  return best
}

/** How many characters of the pattern that fits are not `*`; -1: none fits. */
function fit(patterns: readonly string[], address: string): number {
  return patterns
    .filter((pattern) => matchesPattern(pattern, address))
    .reduce((most, pattern) => Math.max(most, pattern.replaceAll('*', '').length), -1)
}

/** The reverse-path: the caller's if it has a domain or is null, else the author's, else the account's. Null: none. */
export function senderOf(account: Account, wanted: Pick<Wanted, 'sender' | 'from'>): string | null {
  if (wanted.sender === '' || wanted.sender.includes('@')) return wanted.sender
  if (account.from.some((pattern) => wanted.from.includes('@') && matchesPattern(pattern, wanted.from)))
    return wanted.from
  return account.sender ?? account.from.find((pattern) => !pattern.includes('*')) ?? null
}
