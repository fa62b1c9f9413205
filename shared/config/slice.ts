/**
 * Slices: from the checked whole to what each process is told, and nothing else. Paths become absolute, names of
 * users become uids, match lists become flat, defaults that depend on something are worked out.
 *
 * Relative paths of sockets and the pid file start at `run-directory`; all others were resolved when they were
 * read, against the directory of the config file that names them.
 */

import { join, resolve } from 'node:path'
import { type Facts, staysCaller } from './facts.ts'
import { buildListeners, MAX_SOCKET_PATH } from './listeners.ts'
import { buildLoad } from './load.ts'
import { flattenClients, type MatchContext } from './match-list.ts'
import { checkWays } from './outgoing.ts'
import { buildPolicies } from './policies.ts'
import type { Problems } from './problem.ts'
import { reportPolicies } from './reports.ts'
import { buildResolver, buildValidator } from './resolver-slice.ts'
import { buildRuleBook, emptyBook } from './rule-book.ts'
import { checkRules, usualDirectory } from './rules.ts'
import { type Config, placeOf } from './schema.ts'
import { buildServers } from './servers.ts'
import { buildSigning, reportSigning, signingOf } from './signing.ts'
import {
  type DkimSlice,
  isSubmission,
  type ListenerSlice,
  type LogChannel,
  type McpSlice,
  type QmgrSlice,
  type Slices,
} from './slices.ts'
import { smtpcSlice } from './smtpc-slice.ts'
import type { Span } from './source.ts'
import { toDomain } from './types.ts'
import { buildWeb } from './web.ts'
import type { WebSlice } from './web-slice.ts'

const USUAL_RUN_DIRECTORY = '/run/posthorn'
/** The longest name that mcp gives a socket below `run-directory`. */
const LONGEST_SOCKET = 'bus/resolver.sock'

interface Common {
  config: Config
  facts: Facts
  problems: Problems
  hostname: string
  paths: Paths
  listeners: ListenerSlice[]
  busUids: Record<string, number[]> | null
  match: MatchContext
  web: WebSlice | null
  dkim: DkimSlice[]
}

/** Only to be used when no error was reported. */
export function buildSlices(config: Config, facts: Facts, problems: Problems): Slices {
  checkRules(config, facts, problems)
  checkWays(config, facts, problems)
  const match = matchContext(config, facts, problems)
  const paths = buildPaths(config, facts)
  const { runDirectory } = paths
  checkSockets(config, paths, problems)
  const listeners = buildListeners({ config, facts, match, problems, runDirectory })
  const hostname = chooseHostname(config, facts, problems)
  const busUids = staysCaller(facts) ? null : lookUpUsers(config, facts, problems)
  const web = buildWeb({ config, facts, problems, hostname, runDirectory, listeners })
  const dkim = buildSigning(config, facts, problems)
  const common: Common = { config, facts, problems, hostname, paths, listeners, busUids, match, web, dkim }
  const qualifyDomain = config.options.values['qualify-domain'] ?? hostname
  const site = {
    hostname,
    qualifyDomain,
    inlineLimit: config.qmgr.values['inline-limit'],
    recipientDelimiter: config.resolver.values['recipient-delimiter'],
    signing: signingOf(dkim),
    reports: config.reports.values.send === 'yes',
  }
  const { 'idle-timeout': idle, 'command-timeout': commandTimeout } = config.lda.values
  const lda = { hostname, qualifyDomain, idle, commandTimeout, locks: needsLocks(config) }
  const policies = buildPolicies(config, facts, problems)
  return {
    mcp: mcpSlice(common),
    qmgr: qmgrSlice(common),
    smtpd: {
      ...site,
      policies: [],
      rules: emptyBook,
      dkim: [],
      listeners: listeners.filter(({ kind }) => !isSubmission(kind)),
    },
    submission: {
      ...site,
      policies: [...reportPolicies(config, busUids), ...policies],
      rules: buildRuleBook(config),
      dkim,
      listeners: listeners.filter(({ kind }) => isSubmission(kind)),
    },
    smtpc: smtpcSlice(config, hostname),
    resolver: buildResolver({
      config,
      facts,
      problems,
      hostname,
      directory: paths.directory,
      listeners,
      busUids,
    }),
    lda: { purpose: 'mailbox', ...lda },
    agentLda: { purpose: 'agent', ...lda },
    web,
  }
}

/** Every named list is looked through, so that a wrong reference shows even where nothing uses the list. */
function matchContext(config: Config, facts: Facts, problems: Problems): MatchContext {
  const lists = new Map(config.acl.map(({ name, elements }) => [name, elements]))
  const match = { lists, interfaces: facts.interfaces, problems }
  for (const { name, at } of config.acl) {
    flattenClients([{ negated: false, at, what: { kind: 'name', name } }], match)
  }
  return match
}

/** Where the running server is to be found. */
type Paths = Pick<McpSlice, 'directory' | 'runDirectory' | 'pidFile' | 'controlSocket' | 'queueSocket'>

function buildPaths(config: Config, facts: Facts): Paths {
  const { controls, options } = config
  const directory = facts.directory === null ? options.values.directory : resolve(facts.directory)
  const runDirectory = chooseRunDirectory(config, facts, directory)
  return {
    directory,
    runDirectory,
    pidFile: resolve(runDirectory, options.values['pid-file']),
    controlSocket: resolve(runDirectory, controls.values.unix.path),
    queueSocket: resolve(runDirectory, controls.values.queue),
  }
}

function chooseRunDirectory(config: Config, facts: Facts, directory: string): string {
  if (facts.directory !== null) return join(directory, 'run')
  const given = config.options.values['run-directory']
  return given ?? (directory === usualDirectory ? USUAL_RUN_DIRECTORY : join(directory, 'run'))
}

function chooseHostname(config: Config, facts: Facts, problems: Problems): string {
  const given = config.options.values.hostname
  if (given !== null) return given
  const own = toDomain(facts.hostname) ?? 'localhost'
  if (!own.includes('.')) {
    const message = `this machine calls itself \`${facts.hostname}\`, which is no full name`
    problems.warn(config.options.at, message, 'set `hostname "mail.example.org";` in `options`')
  }
  return own
}

function checkSockets({ controls, options }: Config, paths: Paths, problems: Problems): void {
  const sockets = [
    { path: paths.controlSocket, at: placeOf(controls, 'unix') },
    { path: paths.queueSocket, at: placeOf(controls, 'queue') },
    { path: join(paths.runDirectory, LONGEST_SOCKET), at: placeOf(options, 'run-directory') },
  ]
  for (const { path, at } of sockets) {
    if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) continue
    const message = `a socket's path would be longer than ${MAX_SOCKET_PATH} octets: ${path}`
    problems.error(at, message, 'choose a shorter `run-directory`')
  }
}

/** By the option that names the user: the role on the bus. */
const workerUsers = {
  qmgr: 'qmgr',
  smtpd: 'smtpd',
  submission: 'smtpd',
  smtpc: 'smtpc',
  resolver: 'resolver',
} as const

/** Who may join the bus as what; users that are missing are told together, for one command makes them all. */
function lookUpUsers(config: Config, facts: Facts, problems: Problems): Record<string, number[]> {
  const { processes } = config
  const uids: Record<string, number[]> = {}
  const missing: string[] = []
  for (const [worker, role] of Object.entries(workerUsers)) {
    const option = `${worker as keyof typeof workerUsers}-user` as const
    const name = processes.values[option]
    const account = facts.accounts.user(name)
    if (!account) missing.push(`user \`${name}\``)
    else if (account.uid === 0) problems.error(placeOf(processes, option), `${worker} must not run as root`)
    else uids[role] = [...(uids[role] ?? []), account.uid]
  }
  const unbound = processes.values['unbound-user']
  const validator = config.resolver.values.dnssec === 'unbound' ? facts.accounts.user(unbound) : undefined
  if (validator === null) missing.push(`user \`${unbound}\``)
  else if (validator?.uid === 0)
    problems.error(placeOf(processes, 'unbound-user'), 'unbound must not run as root')
  const { group } = processes.values
  if (facts.accounts.group(group) === null) missing.push(`group \`${group}\``)
  const message = `not on this machine: ${missing.join(', ')}`
  const hint = 'run `posthorn setup-users`'
  if (missing.length > 0 && facts.usersMayBeMissing) problems.warn(processes.at, message, hint)
  else if (missing.length > 0) problems.error(processes.at, message, hint)
  return uids
}

function mcpSlice({ config, facts, hostname, listeners, paths, problems, web }: Common): McpSlice {
  const { controls, options, processes } = config
  const { runDirectory } = paths
  const channels = logChannels(config)
  return {
    hostname,
    ...paths,
    controlMode: controls.values.unix.mode,
    listeners,
    web: web?.places ?? [],
    smtpdProcesses: processes.values.smtpd,
    submissionProcesses: processes.values.submission,
    users: {
      qmgr: processes.values['qmgr-user'],
      smtpd: processes.values['smtpd-user'],
      submission: processes.values['submission-user'],
      smtpc: processes.values['smtpc-user'],
      resolver: processes.values['resolver-user'],
      validator: processes.values['unbound-user'],
    },
    group: processes.values.group,
    validator: buildValidator({ config, facts, problems }, paths.directory, runDirectory),
    minimumUid: options.values['minimum-uid'],
    restart: {
      budget: processes.values['restart-budget'],
      window: processes.values['restart-window'],
      firstDelay: processes.values['restart-delay'],
      longestDelay: processes.values['restart-delay-limit'],
    },
    heartbeat: {
      interval: processes.values['heartbeat-interval'],
      patience: processes.values['heartbeat-patience'],
    },
    drainTimeout: processes.values['drain-timeout'],
    channels,
    severity: leastSeverity(channels),
  }
}

function logChannels({ channel, logging }: Config): LogChannel[] {
  const used = new Set(logging.values.category.flatMap(({ channels }) => channels))
  const chosen = channel.filter(({ name }) => used.size === 0 || used.has(name))
  if (chosen.length === 0) return [{ name: 'stderr', target: { kind: 'stderr' }, severity: 'info' }]
  return chosen.map(({ name, values }) => ({
    name,
    target: values.file ? { kind: 'file', ...values.file } : { kind: 'stderr' },
    severity: values.severity,
  }))
}

/** Something else than Maildirs: files that others write too, commands whose children are looked after. */
function needsLocks({ options, zone }: Config): boolean {
  const other = zone.some(({ values: { type, deliver } }) => type === 'local' && deliver.kind !== 'maildir')
  return other || options.values['alias-user'] !== null
}

/** Workers write what the most curious channel wants. */
function leastSeverity(channels: readonly LogChannel[]): McpSlice['severity'] {
  const order = ['debug', 'info', 'warn', 'error', 'fatal'] as const
  return order.find((one) => channels.some(({ severity }) => severity === one)) ?? 'info'
}

function qmgrSlice(common: Common): QmgrSlice {
  const { busUids, config, dkim, facts, hostname, listeners, match, paths } = common
  const { lda, options, qmgr } = config
  const uidOf = (user: string | number, at: Span) => lookUpUser(user, at, common)
  const controlUids = config.controls.values.users.flatMap((user) =>
    uidOf(user, placeOf(config.controls, 'users')),
  )
  const sizes = listeners.map(({ messageSizeLimit }) => messageSizeLimit)
  return {
    hostname,
    spool: join(paths.directory, 'queue'),
    activeEntries: qmgr.values['active-entries'],
    activeOctets: qmgr.values['active-size'],
    messageSizeLimit: Math.max(options.values['message-size-limit'], ...sizes),
    retry: qmgr.values.retry,
    lifetime: qmgr.values.lifetime,
    bounceLifetime: qmgr.where.has('bounce-lifetime')
      ? qmgr.values['bounce-lifetime']
      : Math.min(qmgr.values['bounce-lifetime'], qmgr.values.lifetime),
    delayWarning: qmgr.values['delay-warning'],
    removedKeep: qmgr.values['removed-keep'],
    returnLimit: qmgr.values['return-limit'],
    initialConcurrency: qmgr.values['initial-connections'],
    maxConcurrency: qmgr.values['max-connections'],
    recipientsPerTransaction: qmgr.values['recipients-per-transaction'],
    minFreeSpace: qmgr.values['min-free-space'],
    sessionLimit: qmgr.values['session-limit'],
    load: buildLoad(config, match, uidOf),
    ldaLimit: lda.values.limit,
    mailboxLifetime: lda.values['mailbox-lifetime'],
    signing: reportSigning(config, facts, dkim, listeners),
    userAgents: userAgents(common),
    ...buildServers(config),
    controlUids,
    controlNames: namesOf([0, busUids?.['qmgr']?.[0] ?? facts.uid, ...controlUids], facts),
    busUids,
  }
}

/** A relay zone of its own is the administrator's; the one for everything else is a way out like any other. */
function userAgents({ config, facts, listeners }: Common): QmgrSlice['userAgents'] {
  const out = config.zone.filter(
    ({ name, values }) => values.type === 'remote' || (values.type === 'relay' && name === '.'),
  )
  return {
    listeners: listeners.filter((one) => one.userAgents).map(({ name }) => name),
    zones: out.map(({ name }) => name),
    minimumUid: config.options.values['minimum-uid'],
    onlyUid: staysCaller(facts) ? facts.uid : null,
  }
}

function lookUpUser(user: string | number, at: Span, { facts, problems }: Common): number[] {
  if (typeof user === 'number') return [user]
  const account = facts.accounts.user(user)
  if (!account) problems.error(at, `there is no user \`${user}\``)
  return account ? [account.uid] : []
}

function namesOf(uids: readonly number[], { accounts }: Facts): Record<string, string> {
  return Object.fromEntries(
    uids.flatMap((uid) => {
      const name = accounts.nameOf(uid)
      return name === null ? [] : [[String(uid), name]]
    }),
  )
}
