/**
 * Who goes next: tasks queued by destination, given out within the limits of each destination and of the group that
 * it belongs to. Pure but for the state it keeps; time comes in as an argument.
 *
 * A task is one transaction: recipients of one message that share a route, so many at most as its `terms.ts` say.
 * It stands in two lines, one behind the other: the destination's, which lets pass only what the destination has
 * room for, then the group's, where all destinations of a provider wait for the same connections. Both are lanes
 * (`lane.ts`), so that priorities and senders get their turns in each, and who waits for a slow or dead host holds up
 * nobody behind it. Groups do not wait for one another.
 */
import type { ConnectionTerms } from '../../shared/message/connection-terms.ts'
import type { Route } from '../../shared/message/route.ts'
import { type Crowd, clear, front, type Line, newCrowd, offer, space, takeFrom } from './crowd.ts'
import {
  finished,
  isDead,
  isForgettable,
  newDestination,
  type Result,
  relimitDestination,
  revive,
  started,
} from './destination.ts'
import {
  type Group,
  groupFinished,
  groupMayStart,
  groupStarted,
  groupStartsAt,
  isPlain,
  newGroup,
  relimit,
  type Suspension,
  suspend,
  suspensionOf,
} from './group.ts'
import { Lane } from './lane.ts'
import type { Memory } from './suspensions.ts'
import type { Task } from './tasks.ts'
import type { Terms } from './terms.ts'

/** Tasks that are not to be tried before then, and who said so, if somebody did. */
export interface Aside {
  tasks: Task[]
  until: number
  suspension: Suspension | null
}

const FORGETFUL: Memory = { of: () => null, keep: () => undefined, lift: () => undefined }

/** Lines with nothing to remember are kept until there are this many. */
const MANY_LINES = 1024

export class Scheduler {
  readonly #termsOf: (route: Route) => Terms
  readonly #memory: Memory
  readonly #lines = new Map<string, Line>()
  readonly #groups = new Map<string, Crowd>()
  /** Destinations that turned out dead when the turn of one of their tasks came. */
  readonly #stranded = new Set<string>()
  readonly #lineOf = (key: string) => this.#lines.get(key)
  #sweepAt = MANY_LINES

  constructor(termsOf: (route: Route) => Terms, memory: Memory = FORGETFUL) {
    this.#termsOf = termsOf
    this.#memory = memory
  }

  add(task: Task, now: number): void {
    const line = this.#lines.get(task.route.destination) ?? this.#open(task.route, now)
    line.route = task.route
    line.lane.add(task)
    offer(line, now)
  }

  /** The group of a destination that has something in line or under way. */
  groupOf(destination: string): string | null {
    return this.#lines.get(destination)?.terms.group ?? null
  }

  /** For the attempt that `next` has given. */
  connectionTerms(destination: string): ConnectionTerms | null {
    return this.#lines.get(destination)?.terms.connections ?? null
  }

  /** The route of what is next in a group's line, if anything is. */
  peek(group: string, now: number): Route | null {
    const crowd = this.#groups.get(group)
    return crowd ? (front(crowd, this.#lineOf, now)?.route ?? null) : null
  }

  /** The next task of a group, now counted as running; null when there is none or it may not start. */
  next(group: string, now: number): Task | null {
    const crowd = this.#groups.get(group)
    if (!crowd || !groupMayStart(crowd.group, now)) return null
    while (front(crowd, this.#lineOf, now)) {
      const task = crowd.lane.take()
      const line = task && this.#lines.get(task.route.destination)
      if (!line) continue
      line.offered--
      if (space(line, now) > 0) {
        started(line.destination)
        groupStarted(crowd.group, now)
        offer(line, now)
        return task
      }
      // It has shrunk or died since it offered this one.
      line.lane.add(task)
      if (isDead(line.destination, now)) this.#stranded.add(line.key)
    }
    return null
  }

  /** Destinations to be put aside: `abandoned` says what, for each. */
  stranded(): string[] {
    if (this.#stranded.size === 0) return []
    const found = [...this.#stranded]
    this.#stranded.clear()
    return found
  }

  /** Takes everything that waits for a destination that is dead or suspended, so that it can wait on disk instead. */
  abandoned(key: string, now: number): Aside | null {
    const line = this.#lines.get(key)
    if (!line) return null
    const suspension = suspensionOf(line.group.group, now)
    const dead = isDead(line.destination, now) ? (line.destination.probeAt ?? 0) : 0
    if (!suspension && dead === 0) return null
    return { tasks: this.takeAll(key), until: Math.max(dead, suspension?.until ?? 0), suspension }
  }

  /** Nothing more is started for the destination's group; what waits for it is taken, for the disk. */
  suspend(destination: string, suspension: Suspension, now: number): Aside | null {
    const line = this.#lines.get(destination)
    if (!line) return null
    const crowd = line.group
    suspend(crowd.group, suspension)
    this.#memory.keep(line.terms.group, suspension, now)
    const tasks = clear(crowd)
    for (const one of crowd.lines) for (const task of takeFrom(one.lane)) tasks.push(task)
    return { tasks, until: suspension.until, suspension }
  }

  /** What waits for a destination; the little that stands in the line of a group of several comes in its turn. */
  takeAll(key: string): Task[] {
    const line = this.#lines.get(key)
    if (!line) return []
    const tasks = line.group.lines.size === 1 ? clear(line.group) : []
    return tasks.concat(takeFrom(line.lane))
  }

  finished(key: string, result: Result, now: number): void {
    const line = this.#lines.get(key)
    if (!line) return
    finished(line.destination, result, now)
    groupFinished(line.group.group, result)
    offer(line, now)
    if (this.#lines.size > MANY_LINES) this.#forget(line, now)
  }

  /** When `next` may succeed by time alone. */
  startsAt(group: string, now: number): number | null {
    const crowd = this.#groups.get(group)
    return crowd && front(crowd, this.#lineOf, now) ? groupStartsAt(crowd.group, now) : null
  }

  /** An administrator wants these tried now, dead, suspended or not. */
  revive(destinations: Iterable<string>): void {
    for (const key of destinations) {
      const line = this.#lines.get(key)
      if (!line) continue
      revive(line.destination)
      line.group.group.suspended = null
      this.#memory.lift(line.terms.group)
    }
  }

  /** The other way of a route whose group is suspended; null: it stays as it is. */
  detour(route: Route, now: number): Route | null {
    if (route.kind !== 'smtp' || !route.instead) return null
    const { group } = this.#termsOf(route)
    const crowd = this.#groups.get(group)
    if (!(crowd ? suspensionOf(crowd.group, now) : this.#memory.of(group, now))) return null
    return { kind: 'smtp', zone: route.zone, ...route.instead }
  }

  /** Destinations that do not answer, and when they are tried again; at most so many. */
  dead(now: number, most: number): { destination: string; until: number }[] {
    const found: { destination: string; until: number }[] = []
    for (const { key, destination } of this.#lines.values()) {
      if (found.length === most) break
      if (isDead(destination, now)) found.push({ destination: key, until: destination.probeAt ?? now })
    }
    return found
  }

  groups(): string[] {
    return [...this.#groups.keys()]
  }

  /** The terms have changed: who stands where is worked out anew. */
  reconfigured(now: number): void {
    const before = new Map(this.#groups)
    this.#groups.clear()
    for (const crowd of before.values()) {
      for (const task of clear(crowd)) this.#lines.get(task.route.destination)?.lane.add(task)
    }
    for (const line of this.#lines.values()) {
      line.terms = this.#termsOf(line.route)
      line.group = this.#join(line, now, before.get(line.terms.group)?.group)
      relimitDestination(line.destination, line.terms.limits)
    }
    for (const line of this.#lines.values()) offer(line, now)
  }

  #open(route: Route, now: number): Line {
    if (this.#lines.size >= this.#sweepAt) this.#sweep(now)
    const terms = this.#termsOf(route)
    const crowd = this.#groups.get(terms.group) ?? this.#openGroup(terms, now)
    const destination = newDestination(terms.limits, now)
    const key = route.destination
    const line: Line = { key, route, terms, destination, lane: new Lane(), offered: 0, group: crowd }
    crowd.lines.add(line)
    this.#lines.set(key, line)
    return line
  }

  #openGroup(terms: Terms, now: number, learnt?: Group): Crowd {
    const group = learnt ?? newGroup(terms.limits, now)
    const suspension = this.#memory.of(terms.group, now)
    if (suspension) suspend(group, suspension)
    if (learnt) relimit(learnt, terms.limits, now)
    const crowd = newCrowd(group)
    this.#groups.set(terms.group, crowd)
    return crowd
  }

  /** The line's group under new terms, with what is under way counted where it belongs now. */
  #join(line: Line, now: number, learnt: Group | undefined): Crowd {
    let crowd = this.#groups.get(line.terms.group)
    if (!crowd) {
      crowd = this.#openGroup(line.terms, now, learnt)
      crowd.group.running = 0
    }
    crowd.lines.add(line)
    crowd.group.running += line.destination.running
    return crowd
  }

  /** A line with nothing waiting, nothing running and nothing to remember is dropped, its group with the last. */
  #forget(line: Line, now: number): void {
    if (line.offered > 0 || line.lane.peek() || !isForgettable(line.destination, now)) return
    const crowd = line.group
    if (crowd.lines.size === 1 && !isPlain(crowd.group, now)) return
    this.#lines.delete(line.key)
    crowd.lines.delete(line)
    if (crowd.lines.size === 0) this.#groups.delete(line.terms.group)
  }

  /** Dead ones never finish anything: now and then all are looked at. */
  #sweep(now: number): void {
    for (const line of this.#lines.values()) this.#forget(line, now)
    this.#sweepAt = Math.max(MANY_LINES, 2 * this.#lines.size)
  }
}
