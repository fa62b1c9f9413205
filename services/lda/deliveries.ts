/**
 * Delivery attempts that qmgr hands over, from `deliver` to its answer.
 *
 * Content comes with the request, or follows in pieces that are written as they come; credit for a piece goes
 * back when it is written, so at most CONTENT_WINDOW octets of a message are ever in memory. All copies of a
 * message are written side by side and each is settled by itself: one that fails leaves the others alone.
 *
 * Fails: never throws, and answers `never` only in the words of a command; see `failure.ts`. An attempt for a mailbox of another uid is
 * refused loudly: somebody upstream is wrong, and writing as the wrong user is what this process must not do.
 */

import { formatId } from '../../shared/base/ids.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { Outcome } from '../../shared/message/outcome.ts'
import type { Mailbox } from '../../shared/message/route.ts'
import { failureOutcome, oursOutcome } from './failure.ts'
import { findForward } from './forward-file.ts'
import { InHand } from './in-hand.ts'
import { type Newlines, toUnix, UnixNewlines, untouched } from './newline.ts'
import { type Copy, Targets, type TargetsOptions } from './targets.ts'
import { type CopyPlan, planCopies } from './trace-header.ts'

type Deliver = Payload<'deliver'>
type Delivered = Answer<'deliver'>

export interface DeliveriesOptions extends TargetsOptions {
  credit: (stream: number, octets: number) => void
}

// RFC 3463 section 3.2: destination address valid
const FORWARDED: Outcome = {
  kind: 'sent',
  reply: { code: 250, enhanced: '2.1.5', text: 'forwarded', host: '' },
}

/** One copy and what became of it so far. */
interface Slot {
  plan: CopyPlan
  copy: Copy | null
  outcome: Outcome | null
  error: unknown
  /** To whom the user has it forwarded; null: to nobody. */
  forwardTo: string[] | null
}

/** Content that is still coming. */
interface Intake {
  slots: Slot[]
  newlines: Newlines
  end: (how: 'whole' | 'off') => void
}

export class Deliveries {
  readonly inHand: InHand
  readonly #options: DeliveriesOptions
  readonly #targets: Targets
  readonly #intakes = new Map<number, Intake>()
  #delivered = 0

  constructor(options: DeliveriesOptions) {
    this.#options = options
    this.#targets = new Targets(options)
    this.inHand = new InHand(options.now)
  }

  figures(): Record<string, number> {
    return { inHand: this.inHand.count, delivered: this.#delivered }
  }

  deliver(request: Deliver): Promise<Delivered> {
    return this.inHand.run(() => this.#attempt(request))
  }

  piece({ stream, data, last }: Payload<'content-chunk'>): void {
    const intake = this.#intakes.get(stream)
    if (!intake) return // answered already: it failed, or was called off
    writeAll(intake.slots, intake.newlines.push(data))
    if (last) writeAll(intake.slots, intake.newlines.end())
    const someOpen = intake.slots.some((slot) => slot.copy)
    if (last || !someOpen) intake.end('whole')
    else this.#creditWhenTaken(intake.slots, stream, data.length)
  }

  /** Encryption takes its time, and must not be sent more than it can take. */
  #creditWhenTaken(slots: readonly Slot[], stream: number, octets: number): void {
    const waits = slots.flatMap(({ copy }) => copy?.pending?.() ?? [])
    if (waits.length === 0) return this.#options.credit(stream, octets)
    void Promise.all(waits).then(() => {
      if (this.#intakes.has(stream)) this.#options.credit(stream, octets)
    })
  }

  /** Stops an attempt whose content is still coming; what came whole goes through. */
  cancel(attempt: number): void {
    this.#intakes.get(attempt)?.end('off')
  }

  /** The bus is gone and no more pieces will come: nothing half-written stays. */
  cancelAll(): void {
    for (const intake of [...this.#intakes.values()]) intake.end('off')
  }

  /** Runs to its first wait at once: pieces of content may come right behind the request. */
  async #attempt(request: Deliver): Promise<Delivered> {
    const slots = this.#begin(request)
    const { content } = request
    if (content) writeAll(slots, isUntouched(request) ? content : toUnix(content))
    else if (slots.some((slot) => slot.copy)) await this.#receive(request, slots)
    await Promise.all(slots.map(commit))
    this.#report(request, slots)
    return answer(request, slots)
  }

  #begin(request: Deliver): Slot[] {
    const slots = planCopies(request.recipients).map(emptySlot)
    const { route } = request
    if (route.kind !== 'local') return failAll(slots, oursOutcome('not a route to a mailbox'))
    if (route.mailbox.uid !== this.#options.uid) {
      const facts = { ...idsOf(request), wanted: route.mailbox.uid, uid: this.#options.uid }
      this.#options.log.error(facts, 'delivery for another user refused')
      return failAll(slots, oursOutcome('the delivery came to a process of another user'))
    }
    if (route.forward) for (const slot of slots) this.#lookForForward(slot, route.mailbox)
    const kept = slots.filter(({ outcome }) => !outcome)
    if (kept.length === 0) return slots
    try {
      const begin = this.#targets.open(route, request)
      for (const slot of kept) start(slot, begin)
      return slots
    } catch (error) {
      return failAll(slots, failureOutcome(error), error)
    }
  }

  /** Without a copy to keep nothing is left to do here but to say so. */
  #lookForForward(slot: Slot, { home, user, uid }: Mailbox): void {
    const { address } = slot.plan
    try {
      const found = findForward({ home, uid, user, address })
      if (found.kind === 'unsafe' || found.kind === 'faulty')
        this.#options.log.warn({ home, user, to: address, ...found }, '.forward is not followed')
      if (found.kind !== 'forward') return
      slot.forwardTo = found.to
      if (!found.keep) slot.outcome = FORWARDED
    } catch (error) {
      fail(slot, failureOutcome(error), error)
    }
  }

  async #receive(request: Deliver, slots: Slot[]): Promise<void> {
    const { attempt } = request
    const newlines = isUntouched(request) ? untouched : new UnixNewlines()
    const how = await new Promise<'whole' | 'off'>((end) => {
      this.#intakes.set(attempt, { slots, newlines, end })
    })
    this.#intakes.delete(attempt)
    if (how === 'off') failAll(slots, oursOutcome('the attempt was called off'))
  }

  /** One line for each copy. */
  #report(request: Deliver, slots: readonly Slot[]): void {
    const { log } = this.#options
    for (const { plan, outcome, error } of slots) {
      const facts = { ...idsOf(request), to: plan.address, size: request.size }
      if (outcome?.kind === 'sent') {
        this.#delivered++
        log.info(facts, 'delivered')
      } else log.warn({ ...facts, reply: outcome?.reply.text, why: String(error ?? '') }, 'not delivered')
    }
  }
}

function start(slot: Slot, begin: (plan: CopyPlan) => Copy): void {
  try {
    slot.copy = begin(slot.plan)
  } catch (error) {
    fail(slot, failureOutcome(error), error)
  }
}

/** Binary content stays as it is; what is to be encrypted sees to its line ends itself. */
function isUntouched(request: Deliver): boolean {
  const { body, route } = request
  const sealed = route.kind === 'local' && !route.delivery && route.mailbox.encryption !== undefined
  return body === 'binarymime' || sealed
}

function emptySlot(plan: CopyPlan): Slot {
  return { plan, copy: null, outcome: null, error: null, forwardTo: null }
}

function writeAll(slots: readonly Slot[], octets: Uint8Array): void {
  for (const slot of slots) write(slot, octets)
}

function write(slot: Slot, octets: Uint8Array): void {
  try {
    slot.copy?.write(octets)
  } catch (error) {
    fail(slot, failureOutcome(error), error)
  }
}

async function commit(slot: Slot): Promise<void> {
  if (!slot.copy) return
  try {
    await slot.copy.commit()
    slot.outcome = { kind: 'sent', reply: { code: 250, enhanced: '2.0.0', text: 'delivered', host: '' } }
  } catch (error) {
    slot.outcome = failureOutcome(error)
    slot.error = error
  }
}

function failAll(slots: Slot[], outcome: Outcome, error: unknown = null): Slot[] {
  for (const slot of slots) if (!slot.outcome) fail(slot, outcome, error)
  return slots
}

function fail(slot: Slot, outcome: Outcome, error: unknown): void {
  slot.copy?.discard()
  slot.copy = null
  slot.outcome = outcome
  slot.error = error
}

function answer(request: Deliver, slots: readonly Slot[]): Delivered {
  const outcomes = slots.flatMap(({ plan, outcome }) =>
    plan.settles.map((n) => ({ n, outcome: outcome ?? oursOutcome('the attempt was not finished') })),
  )
  const address = request.route.kind === 'local' ? request.route.mailbox.path : ''
  const forwards = slots.flatMap(({ plan, outcome, forwardTo }) =>
    forwardTo && outcome?.kind === 'sent'
      ? plan.settles.map((n) => ({ n, to: forwardTo, keeps: outcome !== FORWARDED }))
      : [],
  )
  return { outcomes, host: '', address, tls: '', ...(forwards.length > 0 && { forwards }) }
}

function idsOf(request: Deliver): { attempt: string; message: string } {
  return { attempt: formatId('A', request.attempt), message: formatId('T', request.message) }
}
