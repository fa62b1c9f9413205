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
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { ActiveQueue, Conclusion } from './active-queue.ts'
import type { ContentFiles } from './content-files.ts'
import type { Result } from './destination.ts'
import { type OnPiece, type Outgoing, OutgoingFile, OutgoingPieces } from './outgoing.ts'
import type { Scheduler, Task } from './scheduler.ts'
import { type NotNow, whyNotNow } from './timing.ts'
import type { Workers } from './workers.ts'

const MOST_CRASHES = 3

export interface CourierOptions {
  scheduler: Scheduler
  workers: Workers
  queue: () => ActiveQueue
  files: ContentFiles
  ids: IdSource
  log: Log
  now: () => number
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

  /** Starts everything that may start for a destination. */
  pump(key: string): void {
    if (this.#draining) return
    const { scheduler, workers, now } = this.#options
    this.#putAside(key)
    for (;;) {
      const route = scheduler.peek(key)
      const peer = route && workers.find(route)
      const task = peer && scheduler.next(key, now())
      if (!peer || !task) break
      void this.#deliver(task, peer)
    }
    this.#wakeAt(key, scheduler.startsAt(key, now()))
  }

  pumpAll(): void {
    for (const key of this.#options.scheduler.keys()) this.pump(key)
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

  /** What waits for a dead destination waits on disk. */
  #putAside(key: string): void {
    const aside = this.#options.scheduler.abandoned(key, this.#options.now())
    if (!aside) return
    const outcome: Outcome = {
      kind: 'later',
      blame: 'destination',
      reply: { code: 451, enhanced: '4.4.1', text: `${key} does not answer`, host: '' },
    }
    for (const { entry, slots } of aside.tasks) {
      this.#options.queue().conclude(
        entry,
        slots.map((slot) => ({ slot, outcome, notBefore: aside.until })),
      )
    }
  }

  /** No process can be had for this user's mailboxes now: they wait, it is our trouble. */
  refuseLocal(uid: number, reply: Reply): void {
    for (const { entry, slots } of this.#options.scheduler.takeAll(`local:${uid}`)) {
      const outcome: Outcome = { kind: 'later', blame: 'ours', reply }
      this.#options.queue().conclude(
        entry,
        slots.map((slot) => ({ slot, outcome })),
      )
    }
  }

  #wakeAt(key: string, at: number | null): void {
    if (at === null || this.#timers.has(key)) return
    const timer = setTimeout(
      () => {
        this.#timers.delete(key)
        this.pump(key)
      },
      Math.max(1, at - this.#options.now()),
    )
    this.#timers.set(key, timer)
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
      handed = task.route.kind === 'smtp' && !peer.ended
      const answer = await peer.request('deliver', payloadOf(task, attempt, content))
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
    const byNumber = new Map(answer.outcomes.map(({ n, outcome }) => [n, outcome]))
    const conclusions: Conclusion[] = task.slots.map((slot) => ({
      slot,
      outcome: byNumber.get(slot.n) ?? forgotten,
    }))
    this.#options.queue().conclude(task.entry, conclusions)
    return resultOf(conclusions.map(({ outcome }) => outcome))
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

const lostReply: Reply = { code: 451, enhanced: '4.3.0', text: 'the attempt was lost here', host: '' }
const forgotten: Outcome = { kind: 'later', blame: 'ours', reply: lostReply }
/** RFC 1047: what happened after the dot, if it was sent, nobody here knows any more. */
const doubtful: Outcome = { ...forgotten, inDoubt: true }

function payloadOf(task: Task, attempt: number, content: Uint8Array | null): Payload<'deliver'> {
  const { envelope } = task.entry
  return {
    attempt,
    message: task.entry.id,
    sender: envelope.sender,
    recipients: task.slots.map(({ n, recipient: { address, original, notify, orcpt } }) => ({
      n,
      address,
      ...(original !== undefined && { original }),
      ...(notify !== undefined && { notify }),
      ...(orcpt !== undefined && { orcpt }),
    })),
    size: envelope.size,
    body: envelope.body,
    smtputf8: envelope.smtputf8,
    ...(envelope.ret && { ret: envelope.ret }),
    ...(envelope.envid !== undefined && { envid: envelope.envid }),
    ...(envelope.deliverBy && { deliverBy: envelope.deliverBy }),
    ...(envelope.priority && { priority: envelope.priority }),
    ...(envelope.requireTls && { requireTls: true }),
    route: task.route,
    content,
  }
}

function resultOf(outcomes: readonly Outcome[]): Result {
  let result: Result = 'neutral'
  for (const outcome of outcomes) {
    if (outcome.kind !== 'later') result = 'good'
    else if (outcome.blame === 'destination') return 'bad'
    else if (outcome.blame !== 'ours') result = 'good'
  }
  return result
}
