/**
 * Recipients whose users have their mail forwarded: a message of its own to whom they name, in one commit with the end
 * of the recipient (design rule D2), so that mail is forwarded or still here, and never neither.
 *
 * Its content has `Delivered-To:` on top, by which a message that comes back is known, however far it went in between. One
 * that has been delivered to this very address before is a loop: it comes back to the sender, or, where a copy was kept, ends
 * here. The envelope's reverse-path stays, what goes abroad may bear another (`srs`); aliases are looked up for whom it goes to.
 *
 * Fails: what cannot be stored now is tried again like any other recipient; a copy that is in the mailbox is in it twice then.
 */
import { formatId, type IdSource } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import type { Envelope, Recipient } from '../../shared/message/envelope.ts'
import { withoutSuccess } from '../../shared/message/notify.ts'
import type { Outcome } from '../../shared/message/outcome.ts'
import type { ActiveQueue, Offspring } from './active-queue.ts'
import type { Entry, Slot } from './entry.ts'
import { encodeEnvelope } from './envelope-codec.ts'
import { expandedNotice, noticeFor } from './notice.ts'
import type { Reports } from './reports.ts'
import { ourReply } from './router.ts'

export type Forward = NonNullable<Answer<'deliver'>['forwards']>[number]

export interface ForwardsOptions {
  queue: () => Pick<ActiveQueue, 'conclude' | 'disperse'>
  reports: Pick<Reports, 'about'>
  /** At least the first `octets` of a message that is not in memory. */
  read: (id: number, size: number, octets: number) => Promise<Uint8Array>
  /** A content file like that of `from`, with something on top, durable. */
  copyContent: (from: number, size: number, top: Uint8Array, to: number) => Promise<void>
  ids: Pick<IdSource, 'next'>
  log: Log
}

const HEADER_OCTETS = 65_536
/** Users that a message may pass through. */
const MOST_STEPS = 20

const SENT: Outcome = { kind: 'sent', reply: { code: 250, enhanced: '2.0.0', text: 'delivered', host: '' } }

export class Forwards {
  readonly #options: ForwardsOptions

  constructor(options: ForwardsOptions) {
    this.#options = options
  }

  /** Never rejects. */
  async take(entry: Entry, slot: Slot, forward: Forward): Promise<void> {
    const { queue, log } = this.#options
    const message = formatId('T', entry.id)
    const { address } = slot.recipient
    try {
      if (entry.provisional) throw new Error('the message is not in the store yet')
      const head = entry.content ?? (await this.#options.read(entry.id, entry.envelope.size, HEADER_OCTETS))
      const loop = whyLoop(head, address)
      if (loop !== null) {
        log.warn({ message, to: address, path: loop }, 'forwarding loop')
        return queue().conclude(entry, [{ slot, outcome: forward.keeps ? SENT : loopOutcome }])
      }
      const child = await this.#make(entry, slot.recipient, forward)
      log.info({ message, from: address, to: forward.to, as: formatId('T', child.envelope.id) }, 'forwarded')
      queue().disperse(entry, [slot], [child], await this.#reports(entry, slot, forward))
    } catch (error) {
      log.error({ err: error, message, to: address }, 'not forwarded')
      const reply = ourReply('it cannot be forwarded now')
      queue().conclude(entry, [{ slot, outcome: { kind: 'later', blame: 'ours', reply } }])
    }
  }

  async #make(entry: Entry, recipient: Recipient, { to }: Forward): Promise<Offspring> {
    const { ids, read, copyContent } = this.#options
    const { expanded: _told, ...about } = entry.envelope
    const id = ids.next()
    const top = Buffer.from(`Delivered-To: ${recipient.address.replace(/\p{Cc}/gu, '?')}\r\n`)
    const notify = withoutSuccess(recipient.notify)
    const recipients = to.map(
      (address): Recipient => ({ address, forwarded: true, ...(notify !== undefined && { notify }) }),
    )
    const size = about.size + top.length
    const envelope: Envelope = { ...about, id, recipients, size }
    if (entry.filed) await copyContent(entry.id, about.size, top, id)
    const whole = entry.filed ? null : (entry.content ?? (await read(entry.id, about.size, about.size)))
    const content = whole && Buffer.concat([top, whole])
    return { envelope, content, stored: { id, envelope: encodeEnvelope(envelope), content } }
  }

  async #reports(
    { envelope, content }: Entry,
    { recipient }: Slot,
    { keeps }: Forward,
  ): Promise<Offspring[]> {
    const asked = noticeFor(envelope, recipient, SENT, { kind: 'done' })
    if (!asked) return []
    return this.#options.reports.about({ envelope, content }, [keeps ? asked : expandedNotice(recipient)])
  }
}

// RFC 3463 section 3.5: routing loop detected
const loopOutcome: Outcome = {
  kind: 'never',
  reply: { code: 554, enhanced: '5.4.6', text: 'the mail is forwarded in a loop', host: '' },
}

/** Through whom it went, oldest first, when it was here before or went through too many. */
export function whyLoop(content: Uint8Array, address: string): string | null {
  const text = Buffer.from(
    content.buffer,
    content.byteOffset,
    Math.min(content.length, HEADER_OCTETS),
  ).toString()
  const [header = ''] = text.split('\r\n\r\n', 1)
  const before = [...header.matchAll(/^Delivered-To:[ \t]*([^\r\n]*?)[ \t]*\r?$/gim)].map(
    ([, one = '']) => one,
  )
  const here = address.toLowerCase()
  const isLoop = before.length >= MOST_STEPS || before.some((one) => one.toLowerCase() === here)
  return isLoop ? [...before.reverse(), address].join(' -> ') : null
}
