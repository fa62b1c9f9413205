/**
 * Hands tasks to workers and takes their answers: the shell between the scheduler and the bus.
 *
 * A worker that dies with an attempt in hand: if no final dot can have gone out (smtpc was still looking for a
 * connection, or had not got all of the content), or it was an lda, the attempt is queued again at once, and after
 * MOST_CRASHES of them the message waits like any other, so that one message cannot keep killing workers. Any other
 * attempt is in doubt (design rule D3), which `verdict.ts` knows how to treat.
 */
import { formatId, type IdSource } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import { type Answer, CONTENT_WINDOW, type Payload } from '../../shared/bus/messages.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import type { RetryClassSlice } from '../../shared/config/slices.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { Route } from '../../shared/message/route.ts'
import type { ActiveQueue, Conclusion } from './active-queue.ts'
import { deadReply, doubtful, forgotten, payloadOf, resultOf, suspensionReply } from './attempt.ts'
import type { ContentFiles } from './content-files.ts'
import type { Result } from './destination.ts'
import type { Forward, Forwards } from './forwards.ts'
import { type OnPiece, type Outgoing, OutgoingFile, OutgoingPieces } from './outgoing.ts'
import { withOtherWay } from './retry-policy.ts'
import type { Aside, Scheduler } from './scheduler.ts'
import type { Task } from './tasks.ts'
import { type NotNow, whyNotNow } from './timing.ts'
import { agentDestination, type UserAgents } from './user-agents.ts'
import type { Workers } from './workers.ts'

const MOST_CRASHES = 3

export interface CourierOptions {
  scheduler: Scheduler
  workers: Workers
  userAgents: UserAgents
  forwards: Pick<Forwards, 'take'>
  queue: () => ActiveQueue
  files: ContentFiles
  ids: IdSource
  log: Log
  now: () => number
  /** The class that a temporary reply of a destination belongs to. */
  classOf: (route: Route, outcome: Outcome) => RetryClassSlice | null
  /** Content that is not in memory but in the database. */
  load: (id: number) => Promise<Uint8Array | null>
}

export class Courier {
  readonly #options: CourierOptions
  readonly #streams = new Map<number, Outgoing>()
  /** Attempts that look for a connection still: nothing of them has been sent. */
  readonly #dialling = new Set<number>()
  readonly #timers = new Map<string, NodeJS.Timeout>()
  #running = 0
  #draining: (() => void) | null = null

  constructor(options: CourierOptions) {
    this.#options = options
  }

  get running(): number {
    return this.#running
  }

  /** Starts everything that may start for a destination and those that share its limits. */
  pump(destination: string): void {
    if (this.#draining) return
    this.#putAside(destination)
    const group = this.#options.scheduler.groupOf(destination)
    if (group !== null) this.#pumpGroup(group)
  }

  pumpAll(): void {
    for (const group of this.#options.scheduler.groups()) this.#pumpGroup(group)
  }

  #pumpGroup(group: string): void {
    if (this.#draining) return
    const { scheduler, workers, now } = this.#options
    for (;;) {
      const route = scheduler.peek(group, now())
      const peer = route && workers.find(route)
      const task = peer && scheduler.next(group, now())
      if (!peer || !task) break
      void this.#deliver(task, peer)
    }
    for (const destination of scheduler.stranded()) this.#putAside(destination)
    this.#wakeAt(group, scheduler.startsAt(group, now()))
  }

  /** No new attempts; resolves when the ones in hand are over. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#draining = resolve
      for (const timer of this.#timers.values()) clearTimeout(timer)
      if (this.#running === 0) resolve()
    })
  }

  credit({ stream, octets }: Payload<'content-credit'>): void {
    this.#streams.get(stream)?.give(octets)
  }

  dial({ attempt, begun }: Payload<'deliver-dial'>): void {
    if (begun) this.#dialling.delete(attempt)
    else this.#dialling.add(attempt)
  }

  /** What waits for a dead or suspended destination waits on disk. */
  #putAside(destination: string): void {
    const aside = this.#options.scheduler.abandoned(destination, this.#options.now())
    if (aside) this.#defer(aside)
  }

  #defer({ tasks, until, suspension }: Aside): void {
    for (const { entry, slots, route } of tasks) {
      if (suspension && route.kind === 'smtp' && route.instead) {
        this.#options.queue().reroute(entry, new Set(slots))
        continue
      }
      const reply = suspension ? suspensionReply(suspension) : deadReply(route.destination)
      const outcome: Outcome = { kind: 'later', blame: 'destination', reply }
      this.#options.queue().conclude(
        entry,
        slots.map((slot) => ({ slot, outcome, notBefore: until })),
      )
    }
  }

  /** No process can be had for this user's mailboxes, or agent, now: what waits for it waits on disk, it is our trouble. */
  refuseLda(destination: string, reply: Reply): void {
    for (const { entry, slots } of this.#options.scheduler.takeAll(destination)) {
      const outcome: Outcome = { kind: 'later', blame: 'ours', reply }
      this.#options.queue().conclude(
        entry,
        slots.map((slot) => ({ slot, outcome })),
      )
    }
  }

  #wakeAt(group: string, at: number | null): void {
    if (at === null || this.#timers.has(group)) return
    const timer = setTimeout(
      () => {
        this.#timers.delete(group)
        this.#pumpGroup(group)
      },
      Math.max(1, at - this.#options.now()),
    )
    this.#timers.set(group, timer)
  }

  async #deliver(task: Task, peer: Peer): Promise<void> {
    const { ids, log, workers } = this.#options
    const notNow = whyNotNow(task.entry.envelope, this.#options.now())
    if (notNow) return this.#putOff(task, notNow)
    const attempt = ids.next()
    for (const slot of task.slots) slot.state = 'trying'
    this.#running++
    workers.occupy(peer, 1)
    let result: Result = 'neutral'
    let handed = false
    try {
      const content = await this.#contentOf(task, attempt, peer)
      const terms = this.#options.scheduler.connectionTerms(task.route.destination)
      handed = task.route.kind !== 'local' && !peer.ended
      const answer = await peer.request('deliver', payloadOf(task, attempt, content, terms))
      result = this.#answered(task, answer)
    } catch (error) {
      log.warn(
        { message: formatId('T', task.entry.id), attempt: formatId('A', attempt), err: error },
        'attempt lost',
      )
      this.#lost(task, handed && this.#mayBeOut(attempt))
    }
    workers.occupy(peer, -1)
    this.#running--
    this.#dialling.delete(attempt)
    this.#endStream(attempt)
    if (!this.#options.queue().entries.has(task.entry.id)) this.#options.files.forget(task.entry.id)
    this.#options.scheduler.finished(task.route.destination, result, this.#options.now())
    if (this.#draining && this.#running === 0) this.#draining()
    this.pump(task.route.destination)
  }

  /** Not an attempt: the sender has named another time. */
  #putOff({ entry, slots, route }: Task, notNow: NotNow): void {
    const { queue, scheduler, now } = this.#options
    queue().conclude(
      entry,
      slots.map((slot) => ({ slot, ...notNow })),
    )
    scheduler.finished(route.destination, 'neutral', now())
  }

  /** Null for a file, which is streamed behind the request. */
  #contentOf(task: Task, attempt: number, peer: Peer): Promise<Uint8Array | null> | Uint8Array | null {
    const { entry } = task
    if (entry.content) return entry.content
    return entry.filed ? this.#openStream(task, attempt, peer) : this.#loaded(entry.id)
  }

  async #loaded(id: number): Promise<Uint8Array> {
    const content = await this.#options.load(id)
    if (!content) throw new Error('the content is not in the store')
    return content
  }

  async #openStream(task: Task, attempt: number, peer: Peer): Promise<null> {
    const { files } = this.#options
    const { id, envelope } = task.entry
    const onPiece: OnPiece = (data, last) =>
      peer.send('content-chunk', { stream: attempt, data, ...(last && { last }) })
    const recent = files.recent(id)
    const stream = recent
      ? new OutgoingPieces(recent, onPiece)
      : new OutgoingFile(await files.openToRead(id), envelope.size, 0, onPiece, (error) => {
          this.#options.log.error({ err: error, message: formatId('T', id) }, 'content cannot be read')
          peer.send('deliver-cancel', { attempt })
        })
    this.#streams.set(attempt, stream)
    // The request is sent in this turn, the first piece after it.
    setImmediate(() => stream.give(CONTENT_WINDOW))
    return null
  }

  #endStream(attempt: number): void {
    const stream = this.#streams.get(attempt)
    if (!stream) return
    this.#streams.delete(attempt)
    void stream.close()
  }

  #answered(task: Task, answer: Answer<'deliver'>): Result {
    if (answer.declined !== undefined) {
      this.#declined(task, answer.declined)
      return 'neutral'
    }
    const byNumber = new Map(answer.outcomes.map(({ n, outcome }) => [n, outcome]))
    const conclusions: Conclusion[] = task.slots.map((slot) => ({
      slot,
      outcome: withOtherWay(task.route, byNumber.get(slot.n) ?? forgotten, this.#options.classOf),
    }))
    const forwards = new Map(answer.forwards?.map((one) => [one.n, one]))
    const settled =
      forwards.size === 0 ? conclusions : conclusions.filter(({ slot }) => !forwards.has(slot.n))
    if (settled.length > 0) this.#options.queue().conclude(task.entry, settled)
    if (forwards.size > 0) this.#forward(task, forwards)
    this.#suspend(task, conclusions)
    return resultOf(conclusions.map(({ outcome }) => outcome))
  }

  /** It counts as running until the forwards are told to the journal. */
  #forward({ entry, slots }: Task, forwards: ReadonlyMap<number, Forward>): void {
    for (const slot of slots) {
      const forward = forwards.get(slot.n)
      if (!forward) continue
      this.#running++
      void this.#options.forwards.take(entry, slot, forward).then(() => {
        this.#running--
        if (this.#draining && this.#running === 0) this.#draining()
      })
    }
  }

  /** Not by the sender's agent: the way it would go without one. Nothing of it was sent. */
  #declined({ entry, slots, route }: Task, why: 'absent' | 'not-mine'): void {
    const { userAgents, queue } = this.#options
    if (route.kind === 'agent' && why === 'absent') userAgents.missed(route.uid)
    else userAgents.declined(entry)
    queue().reroute(entry, new Set(slots))
  }

  /** There can be no agent for this uid. */
  refuseAgent(uid: number): void {
    const { userAgents, scheduler, queue } = this.#options
    userAgents.missed(uid)
    for (const { entry, slots } of scheduler.takeAll(agentDestination(uid)))
      queue().reroute(entry, new Set(slots))
  }

  /** A class of replies may ask that its group be left alone for a while. */
  #suspend({ route }: Task, conclusions: readonly Conclusion[]): void {
    const { scheduler, now, log, classOf } = this.#options
    for (const { outcome } of conclusions) {
      const found = classOf(route, outcome)
      if (!found || found.suspend === null) continue
      const until = now() + found.suspend
      const suspension = { until, reply: outcome.reply, retryClass: found.name }
      const aside = scheduler.suspend(route.destination, suspension, now())
      const by = route.kind === 'smtp' && route.instead ? { instead: route.instead.destination } : {}
      const hint = found.hint === null ? {} : { hint: found.hint }
      const { code, enhanced, text, host } = outcome.reply
      log.warn(
        {
          ...{ destination: route.destination, group: scheduler.groupOf(route.destination) },
          ...{ retryClass: found.name, until: new Date(suspension.until).toISOString() },
          ...{ host, reply: `${code} ${enhanced} ${text}` },
          ...by,
          ...hint,
        },
        'suspended',
      )
      if (aside) this.#defer(aside)
      return
    }
  }

  /** Whether the final dot of an attempt that smtpc had in hand can have been sent. */
  #mayBeOut(attempt: number): boolean {
    return !this.#dialling.has(attempt) && (this.#streams.get(attempt)?.finished ?? true)
  }

  #lost(task: Task, inDoubt: boolean): void {
    const { entry, slots } = task
    if (!inDoubt) entry.crashes++
    if (inDoubt || entry.crashes > MOST_CRASHES || this.#draining) {
      const outcome = inDoubt ? doubtful : forgotten
      return this.#options.queue().conclude(
        entry,
        slots.map((slot) => ({ slot, outcome })),
      )
    }
    for (const slot of slots) slot.state = 'queued'
    this.#options.scheduler.add(task, this.#options.now())
  }
}
