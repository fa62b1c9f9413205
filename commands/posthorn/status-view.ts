/** How `posthorn status` looks. Pure. */
import type { Answer, ProcessStatus } from '../../shared/bus/messages.ts'
import { formatSize, formatSpan, oneLine, renderTable } from './figures.ts'

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
  return `${[...lines, '', table + troubles.join(''), ...(off.length > 0 ? ['Off here:', ...off] : [])].join('\n').trimEnd()}\n`
}

function renderQueue(queue: Answer<'queue-status'>): string {
  const { active, deferred, held, octets, sessions, accepted, delivered, intake, reason } = queue
  const waits = `${active} active, ${deferred} deferred, ${held} held (${formatSize(octets)} active)`
  const done = `${accepted} accepted, ${delivered} delivered, ${sessions} sessions`
  const brake =
    intake === 'go' ? '' : `; new mail ${intake === 'wait' ? 'waits' : 'is refused'}: ${oneLine(reason)}`
  return `Queue: ${waits}; ${done}${brake}`
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
