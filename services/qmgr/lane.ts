/**
 * The line before one destination: who stands where, and who is next. Pure state.
 *
 * Three priorities share it by weight (stride scheduling), so that bulk mail moves while urgent mail waits and the
 * other way round: nobody starves. Inside a priority senders take turns, so that one sender's thousand messages
 * do not hold up another's one; inside a sender, order of arrival.
 */
import type { Priority } from './priority.ts'
import type { Task } from './tasks.ts'

/** Out of thirteen turns when all three wait. */
const WEIGHT: Readonly<Record<Priority, number>> = { urgent: 8, normal: 4, bulk: 1 }
const PRIORITIES = ['urgent', 'normal', 'bulk'] as const
/** Taken tasks are cut off the front of a sender's line in pieces of this many. */
const COMPACT_AT = 512

interface SenderLine {
  tasks: (Task | undefined)[]
  head: number
}

interface Class {
  /** Senders in the order of their turns: a Map keeps insertion order, a turn moves to the end. */
  senders: Map<string, SenderLine>
  /** Grows by 1/weight with each turn; the lowest is next. */
  pass: number
}

export class Lane {
  readonly #onGone: (task: Task) => void
  readonly #classes: Record<Priority, Class> = {
    urgent: { senders: new Map(), pass: 0 },
    normal: { senders: new Map(), pass: 0 },
    bulk: { senders: new Map(), pass: 0 },
  }

  /** @param onGone for each task that is dropped because all its slots were taken out while it waited. */
  constructor(onGone: (task: Task) => void = () => undefined) {
    this.#onGone = onGone
  }

  add(task: Task): void {
    const one = this.#classes[task.entry.priority]
    // Who has been away does not come back with all its missed turns.
    if (one.senders.size === 0) one.pass = Math.max(one.pass, this.#leastPass())
    const sender = task.entry.envelope.sender
    const line = one.senders.get(sender)
    if (line) line.tasks.push(task)
    else one.senders.set(sender, { tasks: [task], head: 0 })
  }

  /** What `take` would give; tasks whose slots were all taken out meanwhile are dropped on the way. */
  peek(): Task | null {
    return this.#front()?.task ?? null
  }

  take(): Task | null {
    const front = this.#front()
    if (!front) return null
    const { one, sender, line, task } = front
    one.pass += 1 / WEIGHT[task.entry.priority]
    line.tasks[line.head++] = undefined
    one.senders.delete(sender)
    if (line.head < line.tasks.length) one.senders.set(sender, compact(line))
    const slots = task.slots.filter((slot) => slot.state === 'queued')
    return slots.length === task.slots.length ? task : { ...task, slots }
  }

  #front(): { one: Class; sender: string; line: SenderLine; task: Task } | null {
    for (;;) {
      const one = this.#nextClass()
      if (!one) return null
      for (const [sender, line] of one.senders) {
        const task = this.#skipGone(line)
        if (task) return { one, sender, line, task }
        one.senders.delete(sender)
      }
    }
  }

  /** Slots may have been held or removed while they waited. */
  #skipGone(line: SenderLine): Task | null {
    for (; line.head < line.tasks.length; line.head++) {
      const task = line.tasks[line.head]
      if (task?.slots.some((slot) => slot.state === 'queued')) return task
      line.tasks[line.head] = undefined
      if (task) this.#onGone(task)
    }
    return null
  }

  #nextClass(): Class | null {
    let next: Class | null = null
    for (const priority of PRIORITIES) {
      const one = this.#classes[priority]
      if (one.senders.size > 0 && (!next || one.pass < next.pass)) next = one
    }
    return next
  }

  #leastPass(): number {
    return this.#nextClass()?.pass ?? 0
  }
}

function compact(line: SenderLine): SenderLine {
  if (line.head < COMPACT_AT) return line
  return { tasks: line.tasks.slice(line.head), head: 0 }
}
