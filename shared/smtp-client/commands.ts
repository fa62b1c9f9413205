/**
 * The commands of a transaction as text, with the parameters that the server offers (RFC 5321 section 4.1.1),
 * and the reasons why a message cannot go to a server that lacks an extension.
 *
 * An address or parameter with a control character would be a command of its own: such an address is refused
 * here, such a parameter left out. smtpd lets none in; this is the second lock.
 */
import { isAscii } from 'node:buffer'
import type { Payload } from '../bus/messages.ts'
import type { Reply } from '../message/outcome.ts'
import type { Offers } from './offers.ts'

/** What a transaction needs to know of the attempt that it belongs to. */
export type Delivery = Omit<Payload<'deliver'>, 'attempt' | 'message' | 'route'>
export type Addressee = Delivery['recipients'][number]

const UNSAFE = /\p{Cc}/u
const BEYOND_ASCII = /\P{ASCII}/u
/** What an esmtp-value may hold, RFC 5321 section 4.1.2. */
const VALUE = /^[\u0021-\u003c\u003e-\u007e]+$/
/** The same with RFC 6531 section 3.3, for ORCPT in an internationalized message (RFC 6533 section 3). */
const UTF8_VALUE = /^[^\p{Cc}\p{Cs}\u0020=]+$/u

/** Whether content holds an octet above 127; null when only the stream will tell. */
export function hasEightBit(content: Uint8Array | null): boolean | null {
  return content ? !isAscii(content) : null
}

/** Why this message must not be offered to this server at all, as our own final reply; null when it may. */
export function whyUnfit(delivery: Delivery, offers: Offers, lmtp: boolean, now: number): Reply | null {
  // RFC 6531 section 3.2: an internationalised message goes only where SMTPUTF8 is offered; there is no downgrade.
  if (delivery.smtputf8 && !offers.smtputf8) return own(550, '5.6.7', 'the next host does not take SMTPUTF8')
  // RFC 6152 section 3 and RFC 3030 section 3: convert or return; we do not convert.
  if (delivery.body === 'binarymime' && !offers.binaryMime)
    return own(554, '5.6.3', 'the message is binary, and the next host does not take BINARYMIME')
  if (delivery.body === '8bitmime' && !offers.eightBitMime && hasEightBit(delivery.content) !== false)
    return own(554, '5.6.3', 'the next host does not take 8BITMIME')
  // RFC 1870 section 6.2: it need not be asked
  if (delivery.size > offers.largest)
    return own(552, '5.3.4', `the next host takes messages of ${offers.largest} octets at most`)
  if (delivery.requireTls && !offers.requireTls) return NO_REQUIRETLS
  // LMTP delivers, it does not hand on, so there is nothing left to be late
  const late = lmtp ? null : whyTooLate(delivery, offers, now)
  return late ?? whyBadAddress(delivery.sender, delivery.smtputf8, '5.1.7')
}

/** RFC 8689 section 4.2.1. */
export const NO_REQUIRETLS = own(550, '5.7.30', 'the next host does not offer REQUIRETLS over verified TLS')

/** RFC 2852 section 4.2: what must come back when it is late goes only where that is understood. */
function whyTooLate({ deliverBy }: Delivery, offers: Offers, now: number): Reply | null {
  if (deliverBy?.mode !== 'return') return null
  if (offers.deliverBy === null) return own(554, '5.3.3', 'the next host does not take DELIVERBY')
  const left = secondsLeft(deliverBy.at, now)
  if (left > 0 && left >= offers.deliverBy) return null
  return own(554, '5.4.7', 'the next host needs more time than is left')
}

function secondsLeft(at: number, now: number): number {
  return Math.max(-999_999_999, Math.min(999_999_999, Math.floor((at - now) / 1000)))
}

/** Why this address cannot be put into a command; null when it can. */
export function whyBadAddress(address: string, smtputf8: boolean, enhanced: '5.1.3' | '5.1.7'): Reply | null {
  if (UNSAFE.test(address)) return own(553, enhanced, 'a control character in the address')
  if (!smtputf8 && BEYOND_ASCII.test(address))
    return own(553, '5.6.7', 'an address beyond ASCII in a message without SMTPUTF8')
  return null
}

export function mailCommand(delivery: Delivery, offers: Offers, now: number): string {
  let command = `MAIL FROM:<${delivery.sender}>`
  if (offers.size && delivery.size > 0) command += ` SIZE=${delivery.size}` // RFC 1870 section 6
  if (delivery.body === 'binarymime') command += ' BODY=BINARYMIME'
  else if (offers.eightBitMime && (delivery.body === '8bitmime' || hasEightBit(delivery.content)))
    command += ' BODY=8BITMIME'
  if (delivery.smtputf8) command += ' SMTPUTF8'
  if (delivery.requireTls) command += ' REQUIRETLS'
  command += timing(delivery, offers, now)
  if (!offers.dsn) return `${command}\r\n`
  // RFC 3461 sections 4.3 and 4.4; section 5.2.1: passed on as they came.
  if (delivery.ret) command += ` RET=${delivery.ret === 'full' ? 'FULL' : 'HDRS'}`
  if (delivery.envid && VALUE.test(delivery.envid)) command += ` ENVID=${delivery.envid}`
  return `${command}\r\n`
}

/** RFC 2852 section 4.2: the time that is left; RFC 6710 section 4.3. */
function timing({ deliverBy, priority }: Delivery, offers: Offers, now: number): string {
  let text = ''
  if (deliverBy && offers.deliverBy !== null) {
    const mode = `${deliverBy.mode === 'return' ? 'R' : 'N'}${deliverBy.trace ? 'T' : ''}`
    text += ` BY=${secondsLeft(deliverBy.at, now)};${mode}`
  }
  if (priority && offers.priority) text += ` MT-PRIORITY=${priority}`
  return text
}

/** @param utf8 MAIL said SMTPUTF8. */
export function rcptCommand(recipient: Addressee, offers: Offers, utf8: boolean): string {
  let command = `RCPT TO:<${recipient.address}>`
  if (offers.dsn) {
    // RFC 3461 sections 4.1 and 4.2
    if (recipient.notify && VALUE.test(recipient.notify)) command += ` NOTIFY=${recipient.notify}`
    if (recipient.orcpt && (utf8 ? UTF8_VALUE : VALUE).test(recipient.orcpt))
      command += ` ORCPT=${recipient.orcpt}`
  }
  return `${command}\r\n`
}

/** A reply of our own making: no host said it. */
export function own(code: number, enhanced: string, text: string): Reply {
  return { code, enhanced, text, host: '' }
}

/** RFC 3030 section 2: all of the content in one chunk. */
export function chunkCommand({ size }: Delivery): string {
  return `BDAT ${size} LAST\r\n`
}
