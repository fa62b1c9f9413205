/**
 * A job as it can be given to a host: content encoded anew for one without 8BITMIME, addresses in ASCII for one without
 * SMTPUTF8. Pure.
 *
 * RFC 6531 section 3.2 knows no downgrade of an internationalized message; a message is none when its headers are ASCII
 * and so are its addresses, once domains are written as A-labels (RFC 5890 section 2.3.2.1). Whom that leaves beyond
 * ASCII is refused by `commands.ts`, with 5.6.7. Content in one piece is changed before anything is sent. What a stream
 * has in it comes out on the way: `Downgrade` goes along, and the connection is broken off before the dot.
 */
import { isAscii } from 'node:buffer'
import { domainToASCII } from 'node:url'
import type { Reply } from '../../shared/message/outcome.ts'
import { type Delivery, hasEightBit } from '../../shared/smtp-client/commands.ts'
import type { Offers } from '../../shared/smtp-client/offers.ts'
import { ContentStream } from './content.ts'
import { Downgrade, type Mode } from './downgrade.ts'
import type { Job } from './job.ts'

/** The job to begin, or why it cannot be. */
export function fit(job: Job, offers: Offers): Job | Reply {
  const { delivery } = job
  const mode = modeFor(job, offers)
  const plain = delivery.smtputf8 && !offers.smtputf8
  if (mode === null) return plain ? { ...job, delivery: inAscii(delivery) } : job
  const addressed = plain ? inAscii(delivery) : delivery
  if (job.content instanceof ContentStream) {
    // how large it will be nobody knows; RFC 1870 section 6 leaves out what is not known
    const { size, body } = mode === 'convert' ? { size: 0, body: '7bit' as const } : delivery
    return { ...job, delivery: { ...addressed, size, body }, changing: mode }
  }
  const downgrade = new Downgrade(mode)
  const content = Buffer.concat([downgrade.push(job.content), downgrade.end()])
  if (downgrade.trouble) return downgrade.trouble
  if (mode === 'watch') return { ...job, delivery: addressed }
  return { ...job, content, delivery: { ...addressed, content, size: content.length, body: '7bit' } }
}

/** Null: content stays as it is, and need not be looked at. */
function modeFor({ delivery, eightBit, content }: Job, offers: Offers): Mode | null {
  const lacksUtf8 = delivery.smtputf8 && !offers.smtputf8
  const lacksEightBit = delivery.body === '8bitmime' && !offers.eightBitMime
  if (!lacksUtf8 && !lacksEightBit) return null
  if (!(content instanceof ContentStream) && hasEightBit(content) === false) return null
  if (lacksEightBit) return eightBit === 'downgrade' ? 'convert' : null
  return 'watch'
}

function inAscii(delivery: Delivery): Delivery {
  const recipients = delivery.recipients.map((one) => ({ ...one, address: withALabels(one.address) }))
  return { ...delivery, sender: withALabels(delivery.sender), recipients, smtputf8: false }
}

/** Unchanged where the local part is beyond ASCII, or the domain has no A-labels. */
function withALabels(address: string): string {
  const at = address.lastIndexOf('@')
  if (isAscii(Buffer.from(address)) || !isAscii(Buffer.from(address.slice(0, at)))) return address
  const domain = domainToASCII(address.slice(at + 1))
  return domain === '' ? address : `${address.slice(0, at)}@${domain}`
}
