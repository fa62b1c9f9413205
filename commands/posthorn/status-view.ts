/** How `posthorn status` looks. Pure. */
import type { Answer } from '../../shared/bus/messages.ts'
import type { ProcessStatus, ThrottleStatus } from '../../shared/bus/status.ts'
import { formatSize, formatSpan, oneLine, renderTable } from './figures.ts'

const LOAD_HEAD = ['RESOURCE', 'STATE', 'SINCE', 'VALUE', 'WAIT', 'REFUSE', 'RELIEF'] as const
const HEAD = ['PROCESS', 'STATE', 'PID', 'UID', 'UP', 'RESTARTS', 'MEMORY', 'LAG'] as const

export function renderStatus(
  status: Answer<'status'>,
  queue: Answer<'queue-status'> | null,
  now: number,
): string {
  const { build, startedAt, configFile, epoch, processes, missing } = status
  const lines = [
    `Posthorn ${build}, up ${formatSpan(now - startedAt)}, configuration ${epoch} from ${configFile}`,
    queue ? renderQueue(queue) : 'The queue does not answer.',
  ]
  const table = renderTable([HEAD, ...processes.map((one) => rowOf(one, now))])
  const off = missing.map((sentence) => `  ${sentence}`)
  const troubles = processes.flatMap(renderTrouble)
  const load = queue ? [renderLoad(queue, now), renderQuiet(queue, now)] : []
  return `${[...lines, '', table + troubles.join(''), ...load, ...(off.length > 0 ? ['Off here:', ...off] : [])].join('\n').trimEnd()}\n`
}

function renderQueue(queue: Answer<'queue-status'>): string {
  const { active, deferred, held, removed, octets, sessions, accepted, delivered, intake, reason } = queue
  const waits = `${active} active, ${deferred} deferred, ${held} held${removed > 0 ? `, ${removed} removed` : ''} (${formatSize(octets)} active)`
  const done = `${accepted} accepted, ${delivered} delivered, ${sessions} sessions${renderSessions(queue)}${renderLogins(queue)}`
  const brake =
    intake === 'go' ? '' : `; new mail ${intake === 'wait' ? 'waits' : 'is refused'}: ${oneLine(reason)}`
  return `Queue: ${waits}; ${done}${brake}`
}

function renderLogins({ logins, failedLogins, brakedLogins }: Answer<'queue-status'>): string {
  if (logins + failedLogins + brakedLogins === 0) return ''
  return `; ${logins} logins, ${failedLogins} failed${brakedLogins > 0 ? `, ${brakedLogins} braked` : ''}`
}

function renderSessions({ localSessions, waitingSessions, limited }: Answer<'queue-status'>): string {
  const parts = [
    ...(localSessions > 0 ? [`${localSessions} local`] : []),
    ...(waitingSessions > 0 ? [`${waitingSessions} waiting`] : []),
  ]
  const among = parts.length > 0 ? ` (${parts.join(', ')})` : ''
  return `${among}${limited > 0 ? `; ${limited} refused by limits` : ''}`
}

type QueueStatus = Answer<'queue-status'>

/** What is not sent to now, why, and for how long. */
function renderQuiet({ dead, suspended }: QueueStatus, now: number): string {
  const quiet = suspended.flatMap(({ group, until, retryClass, reply, hint }) => [
    `  ${oneLine(group)}: for ${formatSpan(Math.max(0, until - now))} (${retryClass}), as ${oneLine(reply.host || 'it')} said: ${oneLine(`${reply.code} ${reply.enhanced} ${reply.text}`)}\n`,
    ...(hint === undefined ? [] : [`    hint: ${oneLine(hint)}\n`]),
  ])
  const away = dead.map(
    ({ destination, until }) =>
      `  ${oneLine(destination)}: tried again in ${formatSpan(Math.max(0, until - now))}\n`,
  )
  const parts = [
    ...(quiet.length > 0 ? [`Sending is suspended:\n${quiet.join('')}`] : []),
    ...(away.length > 0 ? [`Destinations that do not answer:\n${away.join('')}`] : []),
  ]
  return parts.join('\n')
}

function renderLoad({ throttles, fullDestinations }: QueueStatus, now: number): string {
  const rows = throttles.map((one) => [
    one.resource,
    one.state,
    formatSpan(now - one.since),
    ...[one.value, one.wait, one.refuse, one.relief].map((value) => formatValue(value, one.unit)),
  ])
  const full = fullDestinations.map((name) => `  ${oneLine(name)}\n`)
  const backlog = full.length > 0 ? ['Destinations that take no more:\n', ...full, '\n'] : []
  return renderTable([LOAD_HEAD, ...rows]) + (backlog.length > 0 ? `\n${backlog.join('')}` : '')
}

function formatValue(value: number, unit: ThrottleStatus['unit']): string {
  switch (unit) {
    case 'octets':
      return formatSize(value)
    case 'per-second':
      return `${value}/s`
    case 'milliseconds':
      return `${Math.round(value)}ms`
    case 'count':
      return value === Number.MAX_SAFE_INTEGER ? '-' : String(value)
    default:
      return unit satisfies never
  }
}

function rowOf(
  { name, state, pid, uid, startedAt, restarts, figures }: ProcessStatus,
  now: number,
): string[] {
  const { rss, lagMs } = figures
  return [
    name,
    state,
    String(pid ?? '-'),
    String(uid ?? '-'),
    startedAt === null ? '-' : formatSpan(now - startedAt),
    String(restarts),
    rss === undefined ? '-' : formatSize(rss),
    lagMs === undefined ? '-' : `${lagMs.toFixed(1)}ms`,
  ]
}

function renderTrouble({ name, lastExit, state }: ProcessStatus): string[] {
  if (lastExit === null || state === 'stopped') return []
  return [`  ${name} last left with ${oneLine(lastExit)}\n`]
}
