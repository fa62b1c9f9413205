/**
 * Lists give way to messages for their members: the resolver is asked for these page by page, and what comes of it is
 * committed at once, the list settled and its members there, or neither (design rule D2).
 *
 * A message made here has at most MOST_RECIPIENTS; a large content is linked, not copied. All lists of one message are
 * gone through together, so that who is on two of them, or is written to beside them, gets one copy. The owner of a list
 * is the reverse-path of what it sends (RFC 5321 section 3.9.2), and hears of failures instead of the sender; a message
 * with the null reverse-path keeps it (section 4.5.5).
 *
 * Fails: a list that cannot be had now waits, whole. Limits: members of the lists of one message are in memory at once.
 */
import { setImmediate } from 'node:timers/promises'
import { formatId, type IdSource } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { Envelope, Recipient } from '../../shared/message/envelope.ts'
import { wants, withoutSuccess } from '../../shared/message/notify.ts'
import type { Outcome } from '../../shared/message/outcome.ts'
import type { ActiveQueue, Offspring } from './active-queue.ts'
import type { Entry, Slot } from './entry.ts'
import { encodeEnvelope } from './envelope-codec.ts'
import { expandedNotice } from './notice.ts'
import type { Reports } from './reports.ts'
import { ourReply } from './router.ts'

export interface ListsOptions {
  expand: (question: Payload<'expand'>) => Promise<Answer<'expand'>>
  queue: () => Pick<ActiveQueue, 'conclude' | 'disperse'>
  reports: Pick<Reports, 'about'>
  /** Gives a content file another name as well, durably. */
  linkContent: (from: number, to: readonly number[]) => Promise<void>
  /** Content that is not in memory. */
  read: (id: number, size: number) => Promise<Uint8Array>
  ids: Pick<IdSource, 'next'>
  log: Log
}

const MOST_RECIPIENTS = 1000

type Found = Extract<Answer<'expand'>, { kind: 'found' }>
type Members = Found['members']

/** By reverse-path. */
type Shares = Map<string, Recipient[]>

export class Lists {
  readonly #options: ListsOptions

  constructor(options: ListsOptions) {
    this.#options = options
  }

  /** Never rejects. */
  async expand(entry: Entry, slots: readonly Slot[]): Promise<void> {
    const gone: Slot[] = []
    const taken = addressesOf(entry.envelope)
    const offspring: Envelope[] = []
    for (const slot of slots) {
      const members = await this.#gather(slot.recipient.address)
      if (!Array.isArray(members)) this.#options.queue().conclude(entry, [{ slot, outcome: members }])
      else {
        gone.push(slot)
        offspring.push(...this.#envelopes(entry.envelope, slot.recipient, members, taken))
        this.#tell(entry, slot, members.length)
      }
    }
    if (gone.length === 0) return
    try {
      const made = await this.#make(entry, offspring)
      const told = await this.#reports(entry, gone)
      this.#options.queue().disperse(entry, gone, made, told)
    } catch (error) {
      this.#options.log.error({ err: error, message: formatId('T', entry.id) }, 'list not expanded')
      const outcome = later('a list cannot be expanded now')
      this.#options.queue().conclude(
        entry,
        gone.map((slot) => ({ slot, outcome })),
      )
    }
  }

  async #gather(address: string): Promise<Members | Outcome> {
    const members: Members = []
    let after: string | null = null
    try {
      do {
        const page: Answer<'expand'> = await this.#options.expand({ address, after })
        if (page.kind === 'refused') return { kind: 'never', reply: page.reply }
        if (page.kind === 'later') return { kind: 'later', blame: 'ours', reply: page.reply }
        for (const member of page.members) members.push(member)
        after = page.next
      } while (after !== null)
    } catch (error) {
      return later(`a list cannot be expanded now: ${String(error)}`)
    }
    return members
  }

  #envelopes(about: Envelope, list: Recipient, members: Members, taken: Set<string>): Envelope[] {
    const shares: Shares = new Map()
    for (const { address, sender, via } of members) {
      if (taken.has(address)) continue
      taken.add(address)
      const from = about.sender === '' ? '' : (sender ?? about.sender)
      const share = shares.get(from) ?? []
      shares.set(from, share)
      share.push(memberOf(list, address, via, from === about.sender))
    }
    return [...shares].flatMap(([from, recipients]) =>
      slicesOf(recipients).map((some) => this.#envelope(about, from, some)),
    )
  }

  #envelope(about: Envelope, sender: string, recipients: Recipient[]): Envelope {
    const { expanded: _told, ...envelope } = about
    const id = this.#options.ids.next()
    if (sender === about.sender) return { ...envelope, id, recipients }
    // RFC 3461 section 5.2.7.3: what the sender asked for ends at the list
    const { ret: _ret, envid: _envid, ...own } = envelope
    return { ...own, id, sender, recipients }
  }

  async #make(
    { id, content, filed, envelope: about }: Entry,
    envelopes: readonly Envelope[],
  ): Promise<Offspring[]> {
    const inline = filed ? null : (content ?? (await this.#options.read(id, about.size)))
    if (filed && envelopes.length > 0)
      await this.#options.linkContent(
        id,
        envelopes.map((envelope) => envelope.id),
      )
    const made: Offspring[] = []
    for (const envelope of envelopes) {
      const stored = { id: envelope.id, envelope: encodeEnvelope(envelope), content: inline }
      made.push({ envelope, content: inline, stored })
      await setImmediate()
    }
    return made
  }

  async #reports({ envelope, content }: Entry, slots: readonly Slot[]): Promise<Offspring[]> {
    const told = slots.filter(({ recipient }) => wants(recipient.notify, 'SUCCESS'))
    if (envelope.sender === '' || told.length === 0) return []
    return this.#options.reports.about(
      { envelope, content },
      told.map(({ recipient }) => expandedNotice(recipient)),
    )
  }

  #tell({ id }: Entry, { recipient }: Slot, members: number): void {
    this.#options.log.info({ message: formatId('T', id), list: recipient.address, members }, 'list expanded')
  }
}

/** Who gets the message without its lists. */
function addressesOf({ recipients }: Envelope): Set<string> {
  const taken = new Set<string>()
  for (const { address, route, list } of recipients) {
    if (list) continue
    taken.add(address)
    // the resolver writes local members in lower case
    if (route?.kind === 'local') taken.add(lowered(address))
  }
  return taken
}

function lowered(address: string): string {
  const at = address.lastIndexOf('@')
  return address.slice(0, at).toLowerCase() + address.slice(at)
}

function memberOf(list: Recipient, address: string, via: string | undefined, sameSender: boolean): Recipient {
  const notify = sameSender ? withoutSuccess(list.notify) : undefined
  return {
    address,
    original: list.original ?? list.address,
    ...(via !== undefined && { via }),
    ...(notify !== undefined && { notify }),
    ...(sameSender && list.orcpt !== undefined && { orcpt: list.orcpt }),
  }
}

function slicesOf(recipients: readonly Recipient[]): Recipient[][] {
  const slices: Recipient[][] = []
  for (let at = 0; at < recipients.length; at += MOST_RECIPIENTS)
    slices.push(recipients.slice(at, at + MOST_RECIPIENTS))
  return slices
}

function later(text: string): Outcome {
  return { kind: 'later', blame: 'ours', reply: ourReply(text) }
}
