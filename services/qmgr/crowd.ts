/**
 * The two lines that a task stands in, one behind the other, and how it passes from the one into the other.
 *
 * A destination offers to its group only what it has room for itself, so what waits for a slow or dead host waits in
 * the line of that host alone. Tasks whose recipients are all held or removed leave the lines on their own.
 * Next: `scheduler.ts`, which owns all of them.
 */
import type { Route } from '../../shared/message/route.ts'
import { type Destination, room } from './destination.ts'
import { type Group, suspensionOf } from './group.ts'
import { Lane } from './lane.ts'
import type { Task } from './tasks.ts'
import type { Terms } from './terms.ts'

/** Before one destination. */
export interface Line {
  key: string
  /** Of a task that came lately. */
  route: Route
  terms: Terms
  destination: Destination
  lane: Lane
  /** How many of its tasks stand in the group's line. */
  offered: number
  group: Crowd
}

/** Before one group. */
export interface Crowd {
  group: Group
  lane: Lane
  lines: Set<Line>
  /** Where tasks came from that were taken out of the lane by somebody else, one entry for each. */
  gone: string[]
}

export function newCrowd(group: Group): Crowd {
  const gone: string[] = []
  return { group, lane: new Lane((task) => gone.push(task.route.destination)), lines: new Set(), gone }
}

/**
 * What a group's turn would begin with; who lost a task that stood in line here may offer another.
 * @param lineOf the line of a destination.
 */
export function front(
  { gone, lane }: Crowd,
  lineOf: (key: string) => Line | undefined,
  now: number,
): Task | null {
  for (;;) {
    const task = lane.peek()
    if (gone.length === 0) return task
    for (const key of gone.splice(0)) {
      const line = lineOf(key)
      if (!line) continue
      line.offered--
      offer(line, now)
    }
    if (task) return task
  }
}

/** Empties a group's line. */
export function clear({ gone, lane, lines }: Crowd): Task[] {
  const tasks = takeFrom(lane)
  gone.length = 0
  for (const line of lines) line.offered = 0
  return tasks
}

/** How many more of its tasks a destination may start, as far as that lies with itself. */
export function space({ destination, group, terms }: Line, now: number): number {
  const own = room(destination, now)
  return group.lines.size > 1 ? Math.min(own, terms.share - destination.running) : own
}

/** Lets so many of a line's tasks stand in the group's line as its destination has room for. */
export function offer(line: Line, now: number): void {
  if (suspensionOf(line.group.group, now)) return
  for (let free = space(line, now) - line.offered; free > 0; free--) {
    const task = line.lane.take()
    if (!task) return
    line.group.lane.add(task)
    line.offered++
  }
}

export function takeFrom(lane: Lane): Task[] {
  const tasks: Task[] = []
  for (let task = lane.take(); task; task = lane.take()) tasks.push(task)
  return tasks
}
