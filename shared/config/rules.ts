/**
 * Rules that the option table cannot say: names used twice, options of another kind of section, limits that
 * contradict each other, logging channels, files that are not there.
 */
import { checkAccess } from './access.ts'
import type { Facts } from './facts.ts'
import { checkFilter } from './filters.ts'
import { checkAuth } from './logins.ts'
import * as o from './options.ts'
import type { Problems } from './problem.ts'
import { checkRouting } from './routing.ts'
import { checkSchedule, checkServers } from './schedules.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import { checkScreening } from './screening.ts'
import type { BlockType } from './section.ts'
import { formatPlace, type Span } from './source.ts'
import { suggestion } from './suggest.ts'

export function checkNames(
  sections: readonly { name: string; at: Span }[],
  what: string,
  problems: Problems,
): void {
  const seen = new Map<string, Span>()
  for (const { name, at } of sections) {
    const before = seen.get(name)
    if (before) problems.error(at, `${what} \`${name}\` is defined twice`, `first at ${formatPlace(before)}`)
    else seen.set(name, at)
  }
}

/** Options that a section of this kind does not have. */
export function checkOnly(
  section: Section<BlockType>,
  block: BlockType,
  kind: string,
  problems: Problems,
): void {
  for (const [option, at] of section.where) {
    const only = block.options[option]?.only
    if (!only || only.includes(kind)) continue
    const message = `\`${option}\` does not belong in a ${block.name} of type ${kind}`
    problems.error(at, message, `it is for type ${only.join(', ').replace(/, ([^,]*)$/, ' and $1')}`)
  }
}

export function checkRules(config: Config, facts: Facts, problems: Problems): void {
  checkNames(config.acl, 'acl', problems)
  checkNames(config.tls, 'tls section', problems)
  checkNames(config.auth, 'auth section', problems)
  checkNames(config.access, 'access', problems)
  checkAccess(config, problems)
  checkNames(config.screening, 'screening', problems)
  checkNames([...config.dnsbl, ...config.dnswl], 'list', problems)
  checkScreening(config, problems)
  checkNames(config.filter, 'filter', problems)
  checkNames(config.server, 'server', problems)
  checkNames(config['retry-class'], 'retry-class', problems)
  checkNames(config.channel, 'channel', problems)
  checkQueue(config, problems)
  checkReserves(config, problems)
  checkServers(config, problems)
  checkRouting(config, problems)
  checkProcesses(config, problems)
  checkLogging(config, problems)
  for (const section of config.tls) {
    checkFile(section.values.certificate, placeOf(section, 'certificate'), facts, problems)
    checkFile(section.values.key, placeOf(section, 'key'), facts, problems)
    checkFile(section.values['client-ca'], placeOf(section, 'client-ca'), facts, problems)
  }
  for (const section of config.filter) checkFilter(section, problems)
  for (const section of config.auth) {
    checkAuth(section, problems)
    checkFile(section.values.passwords, placeOf(section, 'passwords'), facts, problems)
    checkFile(section.values['oauth-secret'], placeOf(section, 'oauth-secret'), facts, problems)
  }
}

export function checkFile(path: string | null, at: Span, facts: Facts, problems: Problems): void {
  if (path === null) return
  const state = facts.readable(path)
  if (state === 'absent') problems.error(at, `there is no file ${path}`)
  if (state === 'forbidden') problems.warn(at, `${path} cannot be read by the caller of this check`)
}

function checkQueue({ qmgr }: Config, problems: Problems): void {
  const { values } = qmgr
  checkSchedule(qmgr, qmgr.values, problems)
  if (values['initial-connections'] > values['max-connections']) {
    problems.error(
      placeOf(qmgr, qmgr.where.has('initial-connections') ? 'initial-connections' : 'max-connections'),
      `more connections at first (${values['initial-connections']}) than at most (${values['max-connections']})`,
    )
  }
}

/** Whoever is kept out of what is kept for the other side must have a place left. */
function checkReserves({ qmgr, throttle }: Config, problems: Problems): void {
  const { 'local-reserve': local, 'remote-reserve': remote } = qmgr.values
  const [kept = 0, all = 0] = [local + remote, throttle.values.sessions.refuse].map(inPercent)
  if (kept <= all) return
  const option = qmgr.where.has('remote-reserve') ? 'remote-reserve' : 'local-reserve'
  problems.error(
    placeOf(qmgr, option),
    `more sessions are kept for one side or the other (${kept}%) than there may be (${all}%)`,
    '`local-reserve` and `remote-reserve` are shares of `session-limit`',
  )
}

const inPercent = (share: number) => Math.round(share * 100)

function checkProcesses({ processes }: Config, problems: Problems): void {
  const { values } = processes
  if (values['heartbeat-patience'] <= values['heartbeat-interval']) {
    const option = processes.where.has('heartbeat-patience') ? 'heartbeat-patience' : 'heartbeat-interval'
    problems.error(
      placeOf(processes, option),
      'every worker would be killed before it is asked again',
      '`heartbeat-patience` has to be longer than `heartbeat-interval`',
    )
  }
  if (values['restart-delay'] > values['restart-delay-limit']) {
    const option = processes.where.has('restart-delay') ? 'restart-delay' : 'restart-delay-limit'
    problems.error(placeOf(processes, option), '`restart-delay` is longer than `restart-delay-limit`')
  }
}

function checkLogging({ logging, channel }: Config, problems: Problems): void {
  for (const one of channel) {
    if (one.meant.has('file') !== one.meant.has('stderr')) continue
    const message = one.meant.has('stderr')
      ? `channel \`${one.name}\` goes to two places`
      : `channel \`${one.name}\` goes nowhere`
    problems.error(one.at, message, 'give it `file "PATH";` or `stderr;`')
  }
  const categories = logging.values.category
  const used = new Set(categories.flatMap(({ channels }) => channels))
  const names = channel.map(({ name }) => name)
  for (const name of used) {
    if (names.includes(name)) continue
    problems.error(placeOf(logging, 'category'), `there is no channel \`${name}\``, suggestion(name, names))
  }
  for (const one of channel) {
    if (categories.length > 0 && !used.has(one.name)) {
      problems.warn(one.at, `channel \`${one.name}\` is not used`, `add it to \`category default\``)
    }
  }
}

/** Kept here so that rules and manual agree on what a default spool is. */
export const usualDirectory = o.optionsBlock.options.directory.fallback
