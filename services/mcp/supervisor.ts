/**
 * The supervisor: who should run, who does, and what to do about the difference. Pure: `supervise` is a function
 * of (state, event, now) and answers with the next state and the effects that the shell carries out.
 *
 * A worker's life: forked (`waiting`), told its configuration (`starting`), `ready`; when it leaves unasked it is
 * `backing-off`, and forked again after a wait that doubles with each crash inside the window; past the budget it
 * is `given-up`, reported and left alone while the rest run on. Each fork is a new `life`: an event that speaks
 * of an earlier one is stale and changes nothing.
 *
 * Heartbeats: a worker that leaves a ping unanswered for `patience` is killed, which the exit then turns into a
 * restart. When mcp itself was stopped (its ticks come late) nobody is blamed for that time.
 * `now` is monotonic, in milliseconds. Next: `roles.ts` (order), `supervision.ts` (the state), `exits.ts` (crash, drain), `overseer.ts` (shell).
 */
import type { WorkerRole } from '../../shared/runtime/service.ts'
import { crashed, drainDeadline, drainOnward, drainOverdue, replaceReady, startDrain } from './exits.ts'
import { roleRules } from './roles.ts'
import {
  change,
  type Effect,
  type Event,
  kill,
  type Rules,
  report,
  runs,
  type Step,
  type Supervision,
  type Worker,
} from './supervision.ts'

/** A worker that starts reads its stores and may be busy for long; it gets this many times the patience. */
const START_PATIENCE = 6

export function initialSupervision(rules: Rules, now: number): Supervision {
  return {
    mode: { kind: 'running' },
    rules,
    workers: new Map(),
    settledRoles: new Set(),
    settled: false,
    lastTick: now,
  }
}

export function supervise(
  state: Supervision,
  event: Event,
  now: number,
): { state: Supervision; effects: Effect[] } {
  const step: Step = { state: { ...state, workers: new Map(state.workers) }, effects: [], now }
  apply(step, event)
  return { state: step.state, effects: step.effects }
}

function apply(step: Step, event: Event): void {
  switch (event.kind) {
    case 'add':
      for (const one of event.workers) add(step, one.name, one.role)
      return drainOnward(step)
    case 'ready':
      return becomeReady(step, event)
    case 'pong':
      return change(step, current(step, event), { unanswered: null })
    case 'exited':
      crashed(step, current(step, event), event)
      return settle(step)
    case 'tick':
      return tick(step)
    case 'replace':
      return replace(step, event.role, event.names)
    case 'rules':
      step.state.rules = event.rules
      return
    case 'revive':
      return revive(step)
    case 'drain':
      return startDrain(step)
    case 'hurry':
      for (const worker of [...step.state.workers.values()]) kill(step, worker, 'no time left')
      return
    default:
      return event satisfies never
  }
}

/** The worker an event speaks of, in the life it speaks of. */
function current(step: Step, event: { name: string; life: number }): Worker | undefined {
  const worker = step.state.workers.get(event.name)
  return worker?.life === event.life ? worker : undefined
}

function add(step: Step, name: string, role: WorkerRole): void {
  if (step.state.workers.has(name) || step.state.mode.kind === 'finished') return
  step.state.workers.set(name, {
    name,
    role,
    life: 0,
    phase: { kind: 'waiting' },
    crashes: [],
    restarts: 0,
    lastExit: null,
    lastPing: step.now,
    unanswered: null,
    doomed: '',
    successors: null,
  })
  fork(step, name)
}

function fork(step: Step, name: string): void {
  const worker = step.state.workers.get(name)
  if (!worker) return
  const life = worker.life + 1
  change(step, worker, {
    life,
    phase: { kind: 'waiting' },
    lastPing: step.now,
    unanswered: null,
    doomed: '',
    restarts: life - 1,
  })
  step.effects.push({ kind: 'fork', name, role: worker.role, life })
  configureWhenPossible(step, name)
}

function configureWhenPossible(step: Step, name: string): void {
  const worker = step.state.workers.get(name)
  if (worker?.phase.kind !== 'waiting') return
  if (!roleRules[worker.role].after.every((role) => step.state.settledRoles.has(role))) return
  change(step, worker, { phase: { kind: 'starting' } })
  step.effects.push({ kind: 'configure', name })
}

function becomeReady(step: Step, event: { name: string; life: number }): void {
  const worker = current(step, event)
  if (worker?.phase.kind !== 'starting') return
  change(step, worker, {
    phase: { kind: 'ready' },
    lastPing: step.now,
    unanswered: worker.unanswered ?? step.now,
  })
  step.effects.push({ kind: 'ping', name: worker.name }) // its figures are wanted from the start
  report(step, 'info', 'worker ready', { worker: worker.name })
  replaceReady(step)
  settle(step)
}

/** Who waited for a role that is settled now is told to begin; when all are settled, that is said once. */
function settle(step: Step): void {
  const done = (worker: Worker) => worker.phase.kind === 'ready' || worker.phase.kind === 'given-up'
  const workers = [...step.state.workers.values()]
  step.state.settledRoles = new Set([
    ...step.state.settledRoles,
    ...workers.filter(done).map(({ role }) => role),
  ])
  for (const worker of workers) configureWhenPossible(step, worker.name)
  if (step.state.settled || step.state.mode.kind !== 'running' || !workers.every(done)) return
  step.state.settled = true
  const givenUp = workers.filter(({ phase }) => phase.kind === 'given-up').map(({ name }) => name)
  step.effects.push({ kind: 'settled', givenUp })
}

function tick(step: Step): void {
  const { state, now } = step
  const { interval, patience } = state.rules.heartbeat
  // our own timers came this late: we were stopped, and answers may lie unread
  const slept = now - state.lastTick > interval + patience / 2
  state.lastTick = now
  for (const worker of [...state.workers.values()]) {
    if (worker.phase.kind === 'backing-off') {
      if (worker.phase.until <= now) fork(step, worker.name)
    } else if (listens(worker)) beat(step, worker, slept)
  }
  drainOverdue(step)
}

function listens({ phase, doomed }: Worker): boolean {
  return !doomed && (phase.kind === 'waiting' || phase.kind === 'starting' || phase.kind === 'ready')
}

function patienceWith(worker: Worker, rules: Rules): number {
  return rules.heartbeat.patience * (worker.phase.kind === 'ready' ? 1 : START_PATIENCE)
}

function beat(step: Step, worker: Worker, slept: boolean): void {
  const { now } = step
  const unanswered = slept && worker.unanswered !== null ? now : worker.unanswered
  if (unanswered !== null && now - unanswered >= patienceWith(worker, step.state.rules))
    return kill(step, worker, 'does not answer')
  if (now - worker.lastPing < step.state.rules.heartbeat.interval) return change(step, worker, { unanswered })
  change(step, worker, { lastPing: now, unanswered: unanswered ?? now })
  step.effects.push({ kind: 'ping', name: worker.name })
}

function replace(step: Step, role: WorkerRole, names: readonly string[]): void {
  if (step.state.mode.kind !== 'running') return
  const before = [...step.state.workers.values()].filter((worker) => worker.role === role)
  for (const worker of before) {
    if (!runs(worker)) {
      step.state.workers.delete(worker.name)
      step.effects.push({ kind: 'forget', name: worker.name })
    } else change(step, worker, { successors: names })
  }
  for (const name of names) add(step, name, role)
}

function revive(step: Step): void {
  for (const worker of [...step.state.workers.values()]) {
    if (runs(worker)) continue
    change(step, worker, { crashes: [] })
    fork(step, worker.name)
  }
}

/** When `tick` is due next: the earliest moment at which it would do something. */
export function nextTick(state: Supervision): number {
  const { interval } = state.rules.heartbeat
  let next = state.lastTick + interval
  for (const worker of state.workers.values()) {
    if (worker.phase.kind === 'backing-off') next = Math.min(next, worker.phase.until)
    if (worker.unanswered !== null && listens(worker))
      next = Math.min(next, worker.unanswered + patienceWith(worker, state.rules))
    if (worker.phase.kind === 'draining' && !worker.doomed)
      next = Math.min(next, drainDeadline(worker, worker.phase.since, state))
  }
  return next
}
