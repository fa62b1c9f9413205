/**
 * How workers leave: crashes with their budget and back-off, the staged drain of everything, and the retirement
 * of those whose successors are ready. The other half of `supervisor.ts`, pure like it.
 */
import { drainStages, roleRules } from './roles.ts'
import { change, kill, report, runs, type Step, type Supervision, type Worker } from './supervision.ts'

/** A worker's process ended. Only one that was draining, or is of a kind that comes and goes, may do so. */
export function crashed(step: Step, worker: Worker | undefined, exit: { how: string; clean: boolean }): void {
  if (!worker) return
  const how = worker.doomed ? `${exit.how} (${worker.doomed})` : exit.how
  const draining = worker.phase.kind === 'draining' || step.state.mode.kind !== 'running'
  const asked = draining && exit.clean
  if (!asked && !(exit.clean && !roleRules[worker.role].kept)) {
    report(step, 'error', 'worker left', { worker: worker.name, how })
  }
  if (draining || worker.successors || !roleRules[worker.role].kept) forget(step, worker)
  else restartLater(step, worker, how)
  drainOnward(step)
}

function restartLater(step: Step, worker: Worker, how: string): void {
  const { budget, window, firstDelay, longestDelay } = step.state.rules.restart
  const crashes = [...worker.crashes.filter((at) => at > step.now - window), step.now]
  const common = { crashes, lastExit: how, unanswered: null, doomed: '' }
  if (crashes.length > budget) {
    change(step, worker, { ...common, phase: { kind: 'given-up' } })
    return report(step, 'error', 'worker given up', {
      worker: worker.name,
      crashes: crashes.length,
      window,
    })
  }
  const delay = Math.min(firstDelay * 2 ** (crashes.length - 1), longestDelay)
  change(step, worker, { ...common, phase: { kind: 'backing-off', until: step.now + delay } })
  report(step, 'warn', 'worker starts again', { worker: worker.name, delay })
}

function forget(step: Step, worker: Worker): void {
  step.state.workers.delete(worker.name)
  step.effects.push({ kind: 'forget', name: worker.name })
}

/** Those whose successors are all ready have served. */
export function replaceReady(step: Step): void {
  const { workers } = step.state
  for (const worker of [...workers.values()]) {
    const { successors } = worker
    if (!successors || worker.phase.kind === 'draining') continue
    if (successors.every((name) => workers.get(name)?.phase.kind === 'ready')) drainOne(step, worker)
  }
}

function drainOne(step: Step, worker: Worker): void {
  if (!runs(worker)) return forget(step, worker)
  if (worker.phase.kind === 'draining') return
  change(step, worker, { phase: { kind: 'draining', since: step.now } })
  step.effects.push({ kind: 'drain', name: worker.name })
}

export function startDrain(step: Step): void {
  if (step.state.mode.kind !== 'running') return
  step.state.mode = { kind: 'draining', since: step.now }
  for (const worker of [...step.state.workers.values()]) {
    if (!runs(worker)) forget(step, worker)
  }
  drainOnward(step)
}

/** Asks the stage whose turn it is to leave; at the end says so. */
export function drainOnward(step: Step): void {
  if (step.state.mode.kind !== 'draining') return
  const workers = [...step.state.workers.values()]
  if (workers.length === 0) {
    step.state.mode = { kind: 'finished' }
    return void step.effects.push({ kind: 'finished' })
  }
  const stage = drainStages.find(({ roles }) => workers.some(({ role }) => roles.includes(role)))
  for (const worker of workers) {
    if (stage?.roles.includes(worker.role)) drainOne(step, worker)
  }
}

/** Kills those who take longer than they were given. */
export function drainOverdue(step: Step): void {
  for (const worker of [...step.state.workers.values()]) {
    if (worker.phase.kind !== 'draining') continue
    if (step.now >= drainDeadline(worker, worker.phase.since, step.state))
      kill(step, worker, 'did not finish in time')
  }
}

/** Retired alone, a worker has the whole drain timeout; in a drain of everything, until its stage is over. */
export function drainDeadline(
  worker: Worker,
  since: number,
  { mode, rules }: Pick<Supervision, 'mode' | 'rules'>,
): number {
  const alone = since + rules.drainTimeout
  if (mode.kind !== 'draining') return alone
  const stage = drainStages.find(({ roles }) => roles.includes(worker.role))
  return Math.min(alone, mode.since + rules.drainTimeout * (stage?.until ?? 1))
}
