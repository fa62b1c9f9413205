/**
 * Who goes next: tasks queued by destination, given out within each destination's limits. Pure but for the state
 * it keeps; time comes in as an argument.
 *
 * A task is one transaction: recipients of one message that share a route, at most `recipientsPerTransaction` of
 * them. Destinations do not wait for one another; inside one, tasks go in order of arrival.
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

export interface Task {
  entry: Entry
  slots: Slot[]
  route: Route
}

interface Lane {
  destination: Destination
  /** Tasks before `head` are gone and let go of. */
  tasks: (Task | undefined)[]
  head: number
}

const COMPACT_AT = 1024

export class Scheduler {
  readonly #limitsOf: (route: Route) => Limits
  readonly #lanes = new Map<string, Lane>()

  constructor(limitsOf: (route: Route) => Limits) {
    this.#limitsOf = limitsOf
  }

  add(task: Task, now: number): void {
    const key = task.route.destination
    let lane = this.#lanes.get(key)
    if (!lane) {
      lane = { destination: newDestination(this.#limitsOf(task.route), now), tasks: [], head: 0 }
      this.#lanes.set(key, lane)
    }
    lane.tasks.push(task)
  }

  /** The route of what is next in line, if anything is. */
  peek(key: string): Route | null {
    const lane = this.#lanes.get(key)
    if (!lane) return null
    skipGone(lane)
    return lane.tasks[lane.head]?.route ?? null
  }

  /** The next task of a destination, now counted as running; null when there is none or it may not start. */
  next(key: string, now: number): Task | null {
    const lane = this.#lanes.get(key)
    if (!lane || !mayStart(lane.destination, now)) return null
    const task = takeFrom(lane)
    if (task) started(lane.destination, now)
    else this.#forget(key, lane)
    return task
  }

  /** Takes everything that waits for a destination that is dead, so that it can wait on disk instead. */
  abandoned(key: string, now: number): { tasks: Task[]; until: number } | null {
    const lane = this.#lanes.get(key)
    const until = lane?.destination.probeAt ?? null
    if (!lane || until === null || until <= now) return null
    return { tasks: this.takeAll(key), until }
  }

  takeAll(key: string): Task[] {
    const lane = this.#lanes.get(key)
    const tasks: Task[] = []
    for (let task = lane && takeFrom(lane); lane && task; task = takeFrom(lane)) tasks.push(task)
    return tasks
  }

  finished(key: string, result: Result, now: number): void {
    const lane = this.#lanes.get(key)
    if (!lane) return
    finished(lane.destination, result, now)
    this.#forget(key, lane)
  }

  /** When `next` may succeed by time alone. */
  startsAt(key: string, now: number): number | null {
    const lane = this.#lanes.get(key)
    return lane && lane.head < lane.tasks.length ? startsAt(lane.destination, now) : null
  }

  revive(): void {
    for (const lane of this.#lanes.values()) revive(lane.destination)
  }

  keys(): string[] {
    return [...this.#lanes.keys()]
  }

  /** A lane with nothing waiting, nothing running and nothing to remember is dropped. */
  #forget(key: string, lane: Lane): void {
    const { running, probeAt, limit, limits } = lane.destination
    const plain = probeAt === null && limits.rate === null && limit >= limits.initial
    if (running === 0 && lane.head >= lane.tasks.length && plain && this.#lanes.size > COMPACT_AT)
      this.#lanes.delete(key)
  }
}

function skipGone(lane: Lane): void {
  while (lane.head < lane.tasks.length) {
    if (lane.tasks[lane.head]?.slots.some((slot) => slot.state === 'queued')) return
    lane.tasks[lane.head++] = undefined
  }
}

/** Slots may have been held or removed while they waited. */
function takeFrom(lane: Lane): Task | null {
  while (lane.head < lane.tasks.length) {
    const task = lane.tasks[lane.head]
    lane.tasks[lane.head++] = undefined
    if (lane.head >= COMPACT_AT && lane.head * 2 >= lane.tasks.length) {
      lane.tasks = lane.tasks.slice(lane.head)
      lane.head = 0
    }
    if (!task) continue
    const slots = task.slots.filter((slot) => slot.state === 'queued')
    if (slots.length > 0) return slots.length === task.slots.length ? task : { ...task, slots }
  }
  lane.tasks = []
  lane.head = 0
  return null
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
