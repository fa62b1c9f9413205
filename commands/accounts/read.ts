/**
 * From accounts.conf to accounts, or to all that is wrong with it: `file:line:column`, the line, a hint.
 *
 * Beside what the types check: names that are taken twice or do not exist, `inherit` in circles, secrets that
 * would go out in the clear, files that others may write to. Never throws for what a file holds.
 */
import { statSync } from 'node:fs'
import { isIP } from 'node:net'
import { dirname } from 'node:path'
import type { ValuesOfBlock } from '../../shared/config/blocks.ts'
import { readFiles } from '../../shared/config/include.ts'
import { type Problem, Problems } from '../../shared/config/problem.ts'
import { type RawSection, readSection } from '../../shared/config/section.ts'
import type { Span } from '../../shared/config/source.ts'
import { suggestion } from '../../shared/config/suggest.ts'
import { day, minute } from '../../shared/config/units.ts'
import type { Account, Accounts, AgentSettings } from './account.ts'
import { accountBlock, accountsFile, accountsWords, agentBlock } from './options.ts'
import type { Mechanism, Secret } from './values.ts'

export type ReadAccounts =
  | { kind: 'ok'; accounts: Accounts; warnings: Problem[] }
  | { kind: 'bad'; problems: Problem[] }

type Values = ValuesOfBlock<typeof accountBlock>

export function readAccounts(file: string): ReadAccounts {
  const problems = new Problems()
  const { statements, source } = readFiles(file, accountsWords, problems)
  const at = { source, start: 0, end: 1 }
  checkWritable(file, at, problems)
  const whole = readSection(accountsFile, statements, '', at, problems)
  const sections = (whole.given.get('account') ?? []) as RawSection[]
  checkNames(sections, problems)
  const accounts = sections.flatMap((section) => readAccount(section, sections, problems))
  if (sections.length === 0 && problems.errors === 0) {
    problems.error(at, 'there is no account', 'add `account "NAME" { from "…"; host "…"; auth user "…"; };`')
  }
  if (problems.errors > 0) return { kind: 'bad', problems: problems.sorted() }
  const agent = readAgent(whole.given.get('agent') as RawSection | undefined)
  return { kind: 'ok', accounts: { accounts, agent }, warnings: problems.sorted() }
}

const OTHERS_WRITE = 0o022

/** The file names commands: who writes it runs as its reader. */
function checkWritable(file: string, at: Span, problems: Problems): void {
  for (const path of [file, dirname(file)]) {
    const facts = statSync(path, { throwIfNoEntry: false })
    const uid = process.getuid?.() ?? 0
    if (!facts) continue
    if (facts.uid !== uid && facts.uid !== 0)
      problems.error(at, `${path} belongs to uid ${facts.uid}, not to you`)
    else if ((facts.mode & OTHERS_WRITE) !== 0)
      problems.error(at, `${path} may be written to by others`, `chmod go-w ${path}`)
  }
}

function checkNames(sections: readonly RawSection[], problems: Problems): void {
  const seen = new Set<string>()
  let usual: string | null = null
  for (const { name, at, given, where } of sections) {
    if (seen.has(name)) problems.error(at, `there are two accounts \`${name}\``)
    seen.add(name)
    if (given.get('default') !== true) continue
    if (usual !== null) problems.error(where.get('default') ?? at, `\`${usual}\` is the default already`)
    usual ??= name
  }
}

function readAgent(section: RawSection | undefined): AgentSettings {
  const values = {
    ...fallbacks(agentBlock.options),
    ...Object.fromEntries(section?.given ?? []),
  } as ValuesOfBlock<typeof agentBlock>
  return {
    idle: values.idle,
    sizeLimit: values['message-size-limit'],
    retry: values.retry,
    lifetime: values.lifetime,
  }
}

function fallbacks(options: Readonly<Record<string, { fallback: unknown }>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).map(([name, { fallback }]) => [name, fallback]))
}

/** What is not handed on by `inherit`. */
const OWN = new Set(['from', 'default', 'inherit'])

/** What was written here and in the accounts that this one inherits from, nearest first. */
function inherited(
  section: RawSection,
  all: readonly RawSection[],
  problems: Problems,
): Map<string, unknown> {
  const values = new Map(section.given)
  const seen = new Set([section])
  for (let heir = section; ; ) {
    const name = heir.given.get('inherit') as string | undefined
    if (name === undefined) return values
    const parent = all.find((one) => one.name === name)
    const at = heir.where.get('inherit') ?? heir.at
    if (!parent || seen.has(parent)) {
      const names = all.map((one) => one.name)
      if (!parent) problems.error(at, `there is no account \`${name}\``, suggestion(name, names))
      else problems.error(at, `\`${name}\` inherits from itself`)
      return values
    }
    seen.add(parent)
    for (const [option, value] of parent.given) {
      if (!OWN.has(option) && !overridden(values, option)) values.set(option, value)
    }
    heir = parent
  }
}

/** One password replaces another, wherever it comes from. */
function overridden(values: ReadonlyMap<string, unknown>, option: string): boolean {
  const passwords = ['password-command', 'password-from']
  return values.has(option) || (passwords.includes(option) && passwords.some((one) => values.has(one)))
}

function readAccount(section: RawSection, all: readonly RawSection[], problems: Problems): Account[] {
  const written = inherited(section, all, problems)
  const values = { ...fallbacks(accountBlock.options), ...Object.fromEntries(written) } as Values
  if (values.host === null) {
    if (!section.meant.has('host'))
      problems.error(
        section.at,
        `account \`${section.name}\` has no \`host\``,
        'add `host "smtp.example.com";`',
      )
    return []
  }
  const account = complete(section.name, values, values.host)
  checkAccount(account, values, section, problems)
  return [account]
}

const PORTS = { implicit: 465, starttls: 587, none: 25 } as const
const LMTP_PORT = 24
const SOCKS_PORT = 1080

function complete(name: string, values: Values, host: { host: string; port: number | null }): Account {
  const protocol = values.protocol ?? 'smtp'
  const tls = values.tls ?? (host.port === PORTS.implicit ? 'implicit' : 'starttls')
  const { socks5 } = values
  return {
    name,
    from: values.from.flat(),
    isDefault: values.default,
    sender: values.sender,
    host: host.host,
    port: host.port ?? (protocol === 'lmtp' ? LMTP_PORT : PORTS[tls]),
    protocol,
    tls,
    trust: values['tls-trust'],
    fingerprints: values['tls-fingerprint'] ?? [],
    certificate: values['tls-certificate'],
    key: values['tls-key'],
    socks: socks5 && { host: socks5.host, port: socks5.port ?? SOCKS_PORT },
    hello: values.hello ?? 'localhost',
    user: values.auth?.user ?? null,
    mechanisms: values.auth?.mechanisms ?? [],
    secret: secretOf(values),
    tokenCommand: values['token-command'],
    confirm: values.confirm ?? { when: 'never', command: null },
    confirmRecipients: values['confirm-recipients'],
    grant: values.grant ?? day,
    outbox: values.outbox === 'yes',
    timeout: values.timeout ?? minute,
  }
}

function secretOf(values: Values): Secret | null {
  const line = values['password-command']
  return line === null ? values['password-from'] : { kind: 'command', line }
}

function checkAccount(account: Account, values: Values, section: RawSection, problems: Problems): void {
  const at = (option: string) => section.where.get(option) ?? section.at
  const { user, secret, tokenCommand, certificate, key, tls } = account
  if (tls === 'none' && !isOwnMachine(account.host))
    problems.error(at('tls'), '`tls none` is for hosts of this machine only', 'such as `127.0.0.1`')
  if (values['password-command'] !== null && values['password-from'] !== null)
    problems.error(at('password-from'), 'one password is enough', 'remove `password-command` or this')
  if (user !== null && secret === null && tokenCommand === null)
    problems.error(at('auth'), 'where does the password come from?', 'add `password-command "…";`')
  if (user === null && (secret ?? tokenCommand) !== null)
    problems.error(section.at, 'a password, and nobody to log in', 'add `auth user "…";`')
  if ((certificate === null) !== (key === null))
    problems.error(at(certificate === null ? 'tls-key' : 'tls-certificate'), 'a certificate needs its key')
  if (account.fingerprints.length > 0 && tls === 'none')
    problems.error(at('tls-fingerprint'), 'without TLS there is no certificate')
  if (/[^\x21-\x7e]/.test(account.hello)) problems.error(at('hello'), 'no name for EHLO')
  checkMechanisms(account, at('auth'), problems)
}

function checkMechanisms({ mechanisms, secret, tokenCommand }: Account, at: Span, problems: Problems): void {
  for (const one of mechanisms) {
    const needsToken = isTokenMechanism(one)
    if (needsToken && tokenCommand === null)
      problems.error(at, `\`${one}\` needs a token`, 'add `token-command "…";`')
    if (!needsToken && secret === null)
      problems.error(at, `\`${one}\` needs a password`, 'add `password-command "…";`')
  }
}

export function isTokenMechanism(mechanism: Mechanism): boolean {
  return mechanism === 'oauthbearer' || mechanism === 'xoauth2'
}

function isOwnMachine(host: string): boolean {
  if (isIP(host) === 0) return host === 'localhost'
  return host === '::1' || host.startsWith('127.')
}
