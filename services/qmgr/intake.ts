/**
 * Mail on its way in: content streams taken, and the one moment that matters: `submit` answers
 * `accepted` only when content and envelope are on stable storage (design rule D1).
 *
 * Refuses with 452 what the disk cannot take, with 450 what is above its sender's limits, and with 451 what does not
 * add up (content of another size than announced: a bug or a broken stream, nothing to acknowledge).
 */
import { formatId } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import { wants } from '../../shared/message/notify.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import type { ActiveQueue } from './active-queue.ts'
import type { Backlog } from './backlog.ts'
import type { ContentFiles, IncomingFile, Patch } from './content-files.ts'
import { CutThrough, type Wait } from './cut-through.ts'
import { destinationOf, type Entry, freshEntry, rowOf } from './entry.ts'
import { encodeEnvelope } from './envelope-codec.ts'
import type { Journal } from './journal.ts'
import type { Load } from './load.ts'
import { refusal } from './replies.ts'
import type { Reports } from './reports.ts'
import type { Charge } from './sessions.ts'
import type { Spill } from './spill.ts'
import { type Change, StoreTrouble } from './store.ts'
import { noLaterThanDue, startsAt } from './timing.ts'

export interface IntakeOptions {
  journal: Journal
  files: ContentFiles
  queue: ActiveQueue
  reports: Pick<Reports, 'ofExpansion'>
  load: () => Load
  /** Whose limits are reached by this message, and from when on. */
  charge: (envelope: Envelope) => Charge
  backlog: Pick<Backlog, 'move'>
  spill: Pick<Spill, 'out'>
  limits: () => { messageSizeLimit: number }
  log: Log
  /** Messages that went straight to disk, and when they are due. */
  onStored: (due: number) => void
}

/** The largest header that smtpd holds, and what a filter may add to it. */
const MOST_ROOM = 1 << 20
const NOT_WHOLE = refusal('notWhole')
const ACCEPTED: Answer<'submit'> = { kind: 'accepted' }

interface Stream {
  file: IncomingFile
  peer: Peer
}

export class Intake {
  readonly #options: IntakeOptions
  readonly #streams = new Map<number, Stream>()
  /** Content files of messages that are being cut through: written, not synced. */
  readonly #unsealed = new Map<number, IncomingFile>()
  readonly #abandoning = new Set<Promise<void>>()
  readonly cutThrough: CutThrough
  accepted = 0

  constructor(options: IntakeOptions) {
    this.#options = options
    this.cutThrough = new CutThrough({
      queue: options.queue,
      commit: (entry, changes) => this.#keep(entry, changes),
      replyFor,
      forget: ({ id }) => {
        const file = this.#unsealed.get(id)
        if (file) this.#discard(file)
      },
      log: options.log,
    })
  }

  /** Nothing unfinished is left behind. */
  async close(): Promise<void> {
    for (const id of [...this.#streams.keys()]) this.#abandon(id)
    await Promise.all(this.#abandoning)
  }

  /** An smtpd is gone, and what it was in the middle of. */
  peerLeft(peer: Peer): void {
    for (const [id, stream] of this.#streams) if (stream.peer === peer) this.#abandon(id)
  }

  chunk({ stream: id, data, room = 0 }: Payload<'content-chunk'>, peer: Peer): void {
    let stream = this.#streams.get(id)
    if (!stream) {
      stream = { file: this.#options.files.create(id, Math.min(room, MOST_ROOM)), peer }
      this.#streams.set(id, stream)
    }
    // Credit comes back when the disk has the piece, so that a slow disk slows the client and memory stays bounded.
    void stream.file.append(data).then(() => peer.send('content-credit', { stream: id, octets: data.length }))
  }

  abort({ stream }: Payload<'content-abort'>): void {
    this.#abandon(stream)
  }

  async submit(message: Payload<'submit'>): Promise<Answer<'submit'>> {
    const { envelope, content, cutThrough, verdict } = message
    const stream = this.#streams.get(envelope.id)
    this.#streams.delete(envelope.id)
    const broken = message.patch && stream ? await patched(stream.file, message.patch) : null
    const refusal = broken ?? this.#whyRefused(envelope, content, stream)
    const charge: Charge = refusal ? { refusal, brake: 0 } : this.#options.charge(envelope)
    const { brake } = charge
    if (charge.refusal) {
      if (stream) this.#discard(stream.file)
      return this.#refused(envelope, charge.refusal, brake)
    }
    try {
      const straight =
        !this.#options.queue.full && !mustTell(envelope) && !mustWait(envelope) && !hasMore(envelope)
      if (cutThrough !== undefined && straight) {
        const wait = { deadline: cutThrough, verdict: verdict === true }
        const answer = await this.#cut(envelope, content, stream, wait)
        return brake > 0 ? { ...answer, brake } : answer
      }
      await stream?.file.seal()
      await this.#commit(envelope, content)
    } catch (error) {
      if (stream) this.#discard(stream.file)
      return this.#refused(envelope, replyFor(error), brake)
    }
    return brake > 0 ? { kind: 'accepted', brake } : ACCEPTED
  }

  async #cut(
    envelope: Envelope,
    content: Uint8Array | null,
    stream: Stream | undefined,
    wait: Wait,
  ): Promise<Answer<'submit'>> {
    if (stream) {
      await stream.file.written()
      this.#unsealed.set(envelope.id, stream.file)
    }
    const answer = await this.cutThrough.begin(freshEntry(envelope, content), wait)
    this.#unsealed.delete(envelope.id)
    if (answer.kind === 'accepted') this.accepted++
    return answer
  }

  /** A message that was cut through needs the store after all. */
  async #keep(entry: Entry, changes: readonly Change[]): Promise<void> {
    await this.#unsealed.get(entry.id)?.seal()
    const { envelope, content } = entry
    await this.#options.journal.insert({ id: entry.id, envelope: encodeEnvelope(envelope), content }, changes)
  }

  async #commit(envelope: Envelope, content: Uint8Array | null): Promise<void> {
    const { journal, queue, reports, onStored, spill } = this.#options
    const told = envelope.expanded ? await reports.ofExpansion({ envelope, content }) : []
    const tellings = told.map((report) => report.stored)
    const entry = freshEntry(envelope, content)
    const stored = { id: envelope.id, envelope: encodeEnvelope(envelope), content }
    const held = mustWait(envelope)
    if (held || queue.full) {
      const due = noLaterThanDue(startsAt(envelope), envelope.deliverBy, envelope.receivedAt)
      await this.#countFor(entry, () =>
        journal.insert(stored, waiting(entry, due, envelope.onHold ? 'held' : 'deferred'), tellings),
      )
      if (!held) spill.out(content?.length ?? 0)
      if (!envelope.onHold) onStored(due)
    } else {
      await journal.insert(stored, [], tellings)
      queue.admit(entry)
    }
    queue.send(told)
    this.accepted++
  }

  /** It counts for its destinations from the moment that the store is told. */
  async #countFor(entry: Entry, insert: () => Promise<void>): Promise<void> {
    const { backlog } = this.#options
    for (const slot of entry.slots) backlog.move(slot, destinationOf(slot))
    try {
      await insert()
    } catch (error) {
      for (const slot of entry.slots) backlog.move(slot, '')
      throw error
    }
  }

  #whyRefused(envelope: Envelope, content: Uint8Array | null, stream: Stream | undefined): Reply | null {
    const { load, limits } = this.#options
    const { intake, reason, storage } = load()
    // what else runs short is refused at MAIL; this message is here already
    if (intake === 'refuse' && storage) return refusal('noRoom', reason)
    if (envelope.size > limits().messageSizeLimit) return refusal('tooLarge')
    const octets = content?.length ?? stream?.file.octets
    if (octets !== envelope.size || envelope.recipients.length === 0) {
      return NOT_WHOLE
    }
    return null
  }

  #refused(envelope: Envelope, reply: Reply, brake: number): Answer<'submit'> {
    this.#options.log.warn({ message: formatId('T', envelope.id), reply }, 'message refused')
    return { kind: 'refused', reply, ...(brake > 0 && { brake }) }
  }

  #abandon(id: number): void {
    const stream = this.#streams.get(id)
    this.#streams.delete(id)
    if (stream) this.#discard(stream.file)
  }

  #discard(file: IncomingFile): void {
    const done = file.abandon().finally(() => this.#abandoning.delete(done))
    this.#abandoning.add(done)
  }
}

async function patched(file: IncomingFile, patch: Patch): Promise<Reply | null> {
  return file.patch(patch).then(
    (done) => (done ? null : NOT_WHOLE),
    (error: unknown) => replyFor(error),
  )
}

/** All recipients wait from the start. @param state held: until an administrator says otherwise. */
function waiting(entry: Entry, at: number, state: 'deferred' | 'held'): Change[] {
  const { holdReason: why } = entry.envelope
  const reply = why === undefined ? null : { code: 451, enhanced: '4.7.1', text: `held: ${why}`, host: '' }
  const rows = entry.slots.map((slot): Change => {
    return { kind: 'wait', row: { ...rowOf(entry, slot, { state, at }), reply, repliedAt: reply && at } }
  })
  return [...rows, { kind: 'park', message: entry.id }]
}

/** It is not to be tried now. */
function mustWait({ holdUntil, onHold }: Envelope): boolean {
  return holdUntil !== undefined || onHold === true
}

/** What comes of a list, or of a user's `.forward`, is committed with it. */
function hasMore({ recipients }: Envelope): boolean {
  return recipients.some(({ list, route }) => list || (route?.kind === 'local' && route.forward))
}

/** Success must be reported, whatever crashes: such a message needs the store, so it is stored first. */
function mustTell({ sender, recipients, expanded }: Envelope): boolean {
  if (sender === '') return false
  return expanded !== undefined || recipients.some(({ notify }) => wants(notify, 'SUCCESS'))
}

function replyFor(error: unknown): Reply {
  const full = error instanceof StoreTrouble && error.trouble === 'full'
  return full ? refusal('noRoom', 'disk full') : refusal('unwritable')
}
