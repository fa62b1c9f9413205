/**
 * What mcp knows of each kind of worker: what must be up before it begins, and when it stops.
 *
 * `after` holds at the first start only. All processes are forked at once, because loading code is what takes
 * time; a worker that has to wait is merely told its configuration later. After that everyone redials by itself,
 * and a restarted worker waits for nobody.
 *
 * A drain goes in stages: first no new mail, then the scheduler finishes what is in hand, which needs those who
 * deliver; the resolver leaves last. `until` is the part of the drain timeout that has passed when whoever of
 * the stage still runs is killed, so that one slow client cannot take the time of all that come after.
 * Next: `supervisor.ts`.
 */
import type { WorkerRole } from '../../shared/runtime/service.ts'

export interface RoleRule {
  after: readonly WorkerRole[]
  /** Whether a worker that leaves unasked is started again; an lda leaves by itself when it has no work. */
  kept: boolean
}

export const roleRules: Readonly<Record<WorkerRole, RoleRule>> = {
  qmgr: { after: [], kept: true },
  resolver: { after: [], kept: true },
  smtpc: { after: ['qmgr'], kept: true },
  smtpd: { after: ['qmgr', 'resolver', 'smtpc'], kept: true },
  lda: { after: [], kept: false },
  web: { after: [], kept: true },
}

export const drainStages: readonly { roles: readonly WorkerRole[]; until: number }[] = [
  { roles: ['smtpd', 'web'], until: 0.5 },
  { roles: ['qmgr'], until: 0.8 },
  { roles: ['smtpc', 'lda'], until: 0.9 },
  { roles: ['resolver'], until: 1 },
]

/** Workers of a system at rest, in order of start. */
export function initialWorkers(slices: ServerCounts): { name: string; role: WorkerRole }[] {
  return [
    { name: 'qmgr', role: 'qmgr' },
    { name: 'resolver', role: 'resolver' },
    { name: 'smtpc', role: 'smtpc' },
    ...smtpdNames(1, slices).map((name) => ({ name, role: 'smtpd' as const })),
    ...webNames(1, slices).map((name) => ({ name, role: 'web' as const })),
  ]
}

export interface ServerCounts {
  mcp: { smtpdProcesses: number; submissionProcesses: number; web: readonly unknown[] }
  smtpd: { listeners: readonly unknown[] }
  submission: { listeners: readonly unknown[]; dkim: readonly unknown[] }
}

/** The two kinds of smtpd: for strangers, and for users and local programs. Only the latter holds passwords. */
export type ServerClass = 'smtpd' | 'submission'

/** Numbered from `first`; a class without listeners has no process, but there is always one smtpd. */
export function smtpdNames(first: number, { mcp, smtpd, submission }: ServerCounts): string[] {
  const names = (what: ServerClass, count: number) =>
    Array.from({ length: count }, (_, n) => `${what}-${first + n}`)
  // whoever has the keys is asked to sign, even where no user comes
  const busy = submission.listeners.length + submission.dkim.length > 0
  const users = busy ? names('submission', mcp.submissionProcesses) : []
  const strangers = smtpd.listeners.length > 0 || users.length === 0 ? names('smtpd', mcp.smtpdProcesses) : []
  return [...strangers, ...users]
}

/** One is enough for what it does. */
export function webNames(number: number, { mcp }: Pick<ServerCounts, 'mcp'>): string[] {
  return mcp.web.length > 0 ? [`web-${number}`] : []
}

const SERVER_NAME = /^(?:smtpd|submission|web)-(\d+)$/

export function serverNumber(name: string): number {
  return Number(SERVER_NAME.exec(name)?.[1] ?? 0)
}

export type Part = WorkerRole | 'submission' | 'agentLda'

/** Whose part of the config a worker gets, and whose user it becomes. */
export function partOf(name: string, role: WorkerRole): Part {
  if (role === 'lda' && name.startsWith(AGENT_LDA)) return 'agentLda'
  return role === 'smtpd' && name.startsWith('submission-') ? 'submission' : role
}

/** How the name of an lda begins that speaks to the agent of its user. */
export const AGENT_LDA = 'lda-agent-'
