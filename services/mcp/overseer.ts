/**
 * The shell around `supervisor.ts`: carries out its effects on real processes, and feeds it what they do.
 *
 * It knows how to fork, to tell, to kill; it decides nothing. One timer serves all waits of the supervisor.
 * Next: `worker-process.ts` (one process), `lda-house.ts` (processes that come and go).
 */
import { readFileSync } from 'node:fs'
import type { Log } from '../../shared/base/log.ts'
import type { Configure, LifeName, LifePayload } from '../../shared/bus/messages.ts'
import type { ProcessStatus } from '../../shared/bus/status.ts'
import type { WorkerRole } from '../../shared/runtime/service.ts'
import type { LogCollector } from './log-collector.ts'
import type { Handed } from './port-set.ts'
import type { Effect, Event, Phase, Rules, Supervision, Worker } from './supervision.ts'
import { initialSupervision, nextTick, supervise } from './supervisor.ts'
import { FIRST_DESCRIPTOR, WorkerProcess } from './worker-process.ts'

export interface OverseerOptions {
  rules: Rules
  log: Log
  logs: LogCollector
  scriptOf: (role: WorkerRole) => string
  handed: (name: string, role: WorkerRole) => Handed[]
  /** All of `configure` but the descriptors, as of now. */
  configuration: (name: string, role: WorkerRole) => Omit<Configure, 'descriptors'>
  onLdaWanted: (wanted: LifePayload<'lda-wanted'>) => void
  onReady: (role: WorkerRole) => void
  onSettled: (givenUp: string[]) => void
  onForget: (name: string) => void
  onFinished: () => void
}

interface Running {
  process: WorkerProcess
  descriptors: Record<string, number>
  figures: Record<string, number>
}

const STATES: Readonly<Record<Phase['kind'], ProcessStatus['state']>> = {
  waiting: 'starting',
  starting: 'starting',
  ready: 'ready',
  draining: 'draining',
  'backing-off': 'backing-off',
  'given-up': 'given-up',
}

export class Overseer {
  readonly #options: OverseerOptions
  readonly #running = new Map<string, Running>()
  #state: Supervision
  #timer: NodeJS.Timeout | null = null
  #ping = 0

  constructor(options: OverseerOptions) {
    this.#options = options
    this.#state = initialSupervision(options.rules, performance.now())
  }

  dispatch(event: Event): void {
    const { state, effects } = supervise(this.#state, event, performance.now())
    this.#state = state
    for (const effect of effects) this.#perform(effect)
    this.#setTimer()
  }

  workers(): Worker[] {
    return [...this.#state.workers.values()]
  }

  processOf(name: string): WorkerProcess | null {
    return this.#running.get(name)?.process ?? null
  }

  /** To every worker that has a configuration; null: nothing for this one. */
  tellAll<N extends LifeName>(name: N, payloadFor: (worker: Worker) => LifePayload<N> | null): void {
    for (const worker of this.workers()) {
      const told = worker.phase.kind === 'starting' || worker.phase.kind === 'ready'
      const payload = told ? payloadFor(worker) : null
      if (payload) this.processOf(worker.name)?.send(name, payload)
    }
  }

  status(): ProcessStatus[] {
    return this.workers().map((worker) => {
      const running = this.#running.get(worker.name)
      const pid = running?.process.pid ?? null
      return {
        name: worker.name,
        role: worker.role,
        pid,
        state: STATES[worker.phase.kind],
        uid: pid === null ? null : uidOf(pid),
        startedAt: running?.process.startedAt ?? null,
        restarts: worker.restarts,
        lastExit: worker.lastExit,
        figures: running?.figures ?? {},
      }
    })
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case 'fork':
        return this.#fork(effect)
      case 'configure':
        return this.#configure(effect.name)
      case 'ping':
        return this.processOf(effect.name)?.send('ping', { n: ++this.#ping })
      case 'drain':
        return this.processOf(effect.name)?.send('drain', {})
      case 'kill':
        return this.processOf(effect.name)?.kill()
      case 'forget':
        return this.#options.onForget(effect.name)
      case 'report':
        return this.#options.log[effect.severity](effect.facts, effect.event)
      case 'settled':
        return this.#options.onSettled(effect.givenUp)
      case 'finished':
        if (this.#timer) clearTimeout(this.#timer)
        return this.#options.onFinished()
      default:
        return effect satisfies never
    }
  }

  #fork({ name, role, life }: Extract<Effect, { kind: 'fork' }>): void {
    const { handed, scriptOf, logs, log } = this.#options
    const pipe = role === 'lda'
    const ports = pipe ? [{ name: 'bus', fd: -1 }] : handed(name, role)
    const process = new WorkerProcess({
      name,
      role,
      script: scriptOf(role),
      descriptors: ports.map(({ fd }) => fd),
      pipe,
      logs,
      onMessage: (message, payload) => this.#heard({ name, role, life }, message, payload),
      onNonsense: (trouble) => {
        log.error({ worker: name, trouble }, 'worker talks nonsense')
        process.kill()
      },
      onExit: (how, clean) => {
        this.#running.delete(name)
        this.dispatch({ kind: 'exited', name, life, how, clean })
      },
    })
    const descriptors = Object.fromEntries(ports.map((port, n) => [port.name, FIRST_DESCRIPTOR + n]))
    this.#running.set(name, { process, descriptors, figures: {} })
  }

  #configure(name: string): void {
    const role = this.#state.workers.get(name)?.role
    const running = this.#running.get(name)
    if (!role || !running) return
    const { descriptors } = running
    running.process.send('configure', { ...this.#options.configuration(name, role), descriptors })
  }

  #heard(who: { name: string; role: WorkerRole; life: number }, message: LifeName, payload: unknown): void {
    switch (message) {
      case 'ready':
        this.dispatch({ kind: 'ready', name: who.name, life: who.life })
        return this.#options.onReady(who.role)
      case 'pong': {
        const running = this.#running.get(who.name)
        if (running) running.figures = (payload as LifePayload<'pong'>).figures
        if (who.role === 'qmgr') running?.process.send('worker-lags', { lags: this.#lags() })
        return this.dispatch({ kind: 'pong', name: who.name, life: who.life })
      }
      case 'lda-wanted':
        if (who.role === 'qmgr') this.#options.onLdaWanted(payload as LifePayload<'lda-wanted'>)
        return
      default:
        throw new Error(`${message} is not for mcp`)
    }
  }

  #lags(): Record<string, number> {
    const lags = [...this.#running].map(([name, { figures }]) => [name, figures['lagMs'] ?? 0] as const)
    return Object.fromEntries(lags)
  }

  #setTimer(): void {
    if (this.#timer) clearTimeout(this.#timer)
    if (this.#state.mode.kind === 'finished') return
    const wait = Math.max(1, nextTick(this.#state) - performance.now())
    this.#timer = setTimeout(() => this.dispatch({ kind: 'tick' }), wait)
  }
}

/** The kernel's word on whom a process has become; null when it is gone or /proc is not there. */
function uidOf(pid: number): number | null {
  try {
    const found = /^Uid:\s+\d+\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
    return found ? Number(found[1]) : null
  } catch {
    return null
  }
}
