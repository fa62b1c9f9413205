/**
 * What the supervisor works on: the state of all workers, the events that change it, the effects it asks for,
 * and the one door through which a worker's state changes. Types and that door only; the decisions are in
 * `supervisor.ts` (start, heartbeats) and `exits.ts` (crash, drain).
 */
import type { RestartPolicy } from '../../shared/config/slices.ts'
import type { WorkerRole } from '../../shared/runtime/service.ts'

export interface Rules {
  restart: RestartPolicy
  heartbeat: { interval: number; patience: number }
  drainTimeout: number
}

export type Phase =
  | { kind: 'waiting' }
  | { kind: 'starting' }
  | { kind: 'ready' }
  | { kind: 'draining'; since: number }
  | { kind: 'backing-off'; until: number }
  | { kind: 'given-up' }

export interface Worker {
  name: string
  role: WorkerRole
  /** Counts forks of this name. */
  life: number
  phase: Phase
  /** When it left unasked, inside the window. */
  crashes: readonly number[]
  restarts: number
  lastExit: string | null
  lastPing: number
  /** The oldest ping without an answer. */
  unanswered: number | null
  /** Why we killed it; '' as long as we have not. */
  doomed: string
  /** Names of those that take over: when all of them are ready, this one drains. */
  successors: readonly string[] | null
}

export interface Supervision {
  mode: { kind: 'running' } | { kind: 'draining'; since: number } | { kind: 'finished' }
  rules: Rules
  workers: ReadonlyMap<string, Worker>
  /** Roles that were ready, or given up, once: what `after` waits for. */
  settledRoles: ReadonlySet<WorkerRole>
  settled: boolean
  lastTick: number
}

export type Event =
  | { kind: 'add'; workers: readonly { name: string; role: WorkerRole }[] }
  | { kind: 'ready'; name: string; life: number }
  | { kind: 'pong'; name: string; life: number }
  | { kind: 'exited'; name: string; life: number; how: string; clean: boolean }
  | { kind: 'tick' }
  /** New workers of a role take the place of all that it has. */
  | { kind: 'replace'; role: WorkerRole; names: readonly string[] }
  | { kind: 'rules'; rules: Rules }
  /** Given-up workers get another chance, with a fresh budget. */
  | { kind: 'revive' }
  | { kind: 'drain' }
  /** Patience is over: kill whoever is left. */
  | { kind: 'hurry' }

export type Effect =
  | { kind: 'fork'; name: string; role: WorkerRole; life: number }
  | { kind: 'configure'; name: string }
  | { kind: 'ping'; name: string }
  | { kind: 'drain'; name: string }
  | { kind: 'kill'; name: string }
  /** The worker is off the list. */
  | { kind: 'forget'; name: string }
  | { kind: 'report'; severity: 'info' | 'warn' | 'error'; event: string; facts: Record<string, unknown> }
  /** Once: every worker has been ready, or was given up. */
  | { kind: 'settled'; givenUp: string[] }
  | { kind: 'finished' }

/** A step under way: a state that may be changed, because nobody else has it yet. */
export interface Step {
  state: { -readonly [K in keyof Supervision]: Supervision[K] } & { workers: Map<string, Worker> }
  effects: Effect[]
  now: number
}

/** The one door for changes of a worker. */
export function change(step: Step, worker: Worker | undefined, news: Partial<Worker>): void {
  if (worker) step.state.workers.set(worker.name, { ...worker, ...news })
}

export function kill(step: Step, worker: Worker, why: string): void {
  if (worker.doomed || !runs(worker)) return
  change(step, worker, { doomed: why })
  step.effects.push({ kind: 'kill', name: worker.name })
}

export function runs(worker: Worker): boolean {
  return worker.phase.kind !== 'backing-off' && worker.phase.kind !== 'given-up'
}

export function report(
  step: Step,
  severity: 'info' | 'warn' | 'error',
  event: string,
  facts: Record<string, unknown>,
): void {
  step.effects.push({ kind: 'report', severity, event, facts })
}
