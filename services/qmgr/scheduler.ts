/**
 * Who goes next: tasks queued by destination, given out within each destination's limits. Pure but for the state
 * it keeps; time comes in as an argument.
 *
 * A task is one transaction: recipients of one message that share a route, at most `recipientsPerTransaction` of
 * them. Destinations do not wait for one another; inside one, `lane.ts` says whose turn it is.
 */
import type { Route } from '../../shared/message/route.ts'
import {
  type Destination,
  finished,
  type Limits,
  mayStart,
  newDestination,
  type Result,
  revive,
  started,
  startsAt,
} from './destination.ts'
import type { Entry, Slot } from './entry.ts'
import { Lane } from './lane.ts'

export interface Task {
  entry: Entry
  slots: Slot[]
  route: Route
}

interface Line {
  destination: Destination
  lane: Lane
}

/** Lines with nothing to remember are kept until there are this many. */
const MANY_LINES = 1024

export class Scheduler {
  readonly #limitsOf: (route: Route) => Limits
  readonly #lines = new Map<string, Line>()

  constructor(limitsOf: (route: Route) => Limits) {
    this.#limitsOf = limitsOf
  }

  add(task: Task, now: number): void {
    const key = task.route.destination
    let line = this.#lines.get(key)
    if (!line) {
      line = { destination: newDestination(this.#limitsOf(task.route), now), lane: new Lane() }
      this.#lines.set(key, line)
    }
    line.lane.add(task)
  }

  /** The route of what is next in line, if anything is. */
  peek(key: string): Route | null {
    return this.#lines.get(key)?.lane.peek()?.route ?? null
  }

  /** The next task of a destination, now counted as running; null when there is none or it may not start. */
  next(key: string, now: number): Task | null {
    const line = this.#lines.get(key)
    if (!line || !mayStart(line.destination, now)) return null
    const task = line.lane.take()
    if (task) started(line.destination, now)
    else this.#forget(key, line)
    return task
  }

  /** Takes everything that waits for a destination that is dead, so that it can wait on disk instead. */
  abandoned(key: string, now: number): { tasks: Task[]; until: number } | null {
    const until = this.#lines.get(key)?.destination.probeAt ?? null
    if (until === null || until <= now) return null
    return { tasks: this.takeAll(key), until }
  }

  takeAll(key: string): Task[] {
    const lane = this.#lines.get(key)?.lane
    const tasks: Task[] = []
    for (let task = lane?.take(); lane && task; task = lane.take()) tasks.push(task)
    return tasks
  }

  finished(key: string, result: Result, now: number): void {
    const line = this.#lines.get(key)
    if (!line) return
    finished(line.destination, result, now)
    this.#forget(key, line)
  }

  /** When `next` may succeed by time alone. */
  startsAt(key: string, now: number): number | null {
    const line = this.#lines.get(key)
    return line?.lane.peek() ? startsAt(line.destination, now) : null
  }

  /** An administrator wants these tried now, dead or not. */
  revive(destinations: Iterable<string>): void {
    for (const key of destinations) {
      const line = this.#lines.get(key)
      if (line) revive(line.destination)
    }
  }

  keys(): string[] {
    return [...this.#lines.keys()]
  }

  /** A line with nothing waiting, nothing running and nothing to remember is dropped. */
  #forget(key: string, line: Line): void {
    const { running, probeAt, limit, limits } = line.destination
    const plain = probeAt === null && limits.rate === null && limit >= limits.initial
    if (this.#lines.size > MANY_LINES && running === 0 && plain && !line.lane.peek()) this.#lines.delete(key)
  }
}

/** The transactions that the queued slots of an entry make. Local mailboxes share a destination, not a transaction. */
export function tasksOf(entry: Entry, slots: readonly Slot[], most: number): Task[] {
  const [only] = slots
  if (only?.recipient.route && slots.length === 1)
    return [{ entry, slots: [only], route: only.recipient.route }]
  const groups = new Map<string, Task[]>()
  for (const slot of slots) {
    const { route } = slot.recipient
    if (!route) continue
    const key =
      route.kind === 'local'
        ? `${route.destination} ${route.mailbox.path}`
        : `${route.destination} ${route.protocol}`
    const tasks = groups.get(key) ?? []
    groups.set(key, tasks)
    const last = tasks.at(-1)
    if (last && last.slots.length < most) last.slots.push(slot)
    else tasks.push({ entry, slots: [slot], route })
  }
  return [...groups.values()].flat()
}
