/**
 * What MAIL and RCPT say of a message, by what the server offers (RFC 5321 section 4.1.1), and what it must offer. Pure.
 * What is not offered is left out, but for what the message cannot go without.
 */
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { encodeUtf8Address, parseTypedAddress } from '../../shared/smtp/xtext.ts'
import type { Addressed } from './addressed.ts'
import type { Job } from './conversation.ts'
import { tlsParameter } from './tls-demand.ts'
import { secondsToAsk } from './verdict.ts'

/** What EHLO offers, by keyword. */
export type Offers = ReadonlyMap<string, string>

export interface Told extends Addressed {
  /** XNAME: the server makes the From. */
  byName: boolean
}

/** Keyword to its parameter: RFC 5321 section 4.1.1.1. */
export function readOffers(reply: SmtpReply): Offers {
  const lines = reply.text.split('\n').slice(1)
  return new Map(
    lines.map((line) => {
      const [keyword = '', ...rest] = line.trim().split(' ')
      return [keyword.toUpperCase(), rest.join(' ')] as const
    }),
  )
}

export function whyImpossible(job: Job, to: Addressed, offers: Offers, limit: number): string {
  if (limit > 0 && job.size !== null && job.size > limit) return tooLarge(limit)
  if (needsUtf8(job, to) && !offers.has('SMTPUTF8')) return 'the server takes no addresses beyond ASCII'
  return ''
}

export function tooLarge(limit: number): string {
  return `the message is too large: ${limit} octets are allowed`
}

/**
 * RFC 6531 asks for it when header fields are UTF-8, too. We ask only for addresses: a raw 8-bit Subject, which
 * scripts have always sent, must not make mail bounce at a host that lacks the extension.
 */
function needsUtf8({ sender }: Job, { recipients }: Addressed): boolean {
  return [sender, ...recipients].some((address) => /[^\0-\x7f]/.test(address))
}

export function mailCommand(job: Job, to: Told, offers: Offers): string {
  const parameters = [`MAIL FROM:<${job.sender}>`]
  if (offers.has('SIZE') && to.size !== null) parameters.push(`SIZE=${to.size}`)
  const body = job.eightBit ? '8BITMIME' : job.body
  if (offers.has('8BITMIME') && body) parameters.push(`BODY=${body}`)
  if (needsUtf8(job, to)) parameters.push('SMTPUTF8')
  if (offers.has('DSN') && job.ret) parameters.push(`RET=${job.ret}`)
  if (offers.has('DSN') && job.envid) parameters.push(`ENVID=${xtext(job.envid)}`)
  const seconds = job.wait && secondsToAsk(offers.get('VERDICT') ?? '', job.wait.patience)
  if (seconds) parameters.push(`VERDICT=${seconds}`)
  if (to.byHeader) parameters.push('RCPTHDR')
  if (to.byName) parameters.push(`XNAME=${encodeUtf8Address(job.authorName ?? '')}`)
  if (offers.has('XASIS') && job.asIs) parameters.push('XASIS')
  parameters.push(tlsParameter(job.tlsDemand, offers.has('XTLS')))
  if (job.account !== null) parameters.push(`XACCOUNT=${xtext(job.account)}`)
  return parameters.filter(Boolean).join(' ')
}

export function rcptCommand(job: Job, offers: Offers, recipient: string): string {
  const notify = offers.has('DSN') && job.notify ? ` NOTIFY=${job.notify}` : ''
  return `RCPT TO:<${recipient}>${notify}`
}

/** RFC 3461 section 4. */
function xtext(text: string): string {
  const hex = (character: string) => `+${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  return text.replace(/[^\x21-\x2a\x2c-\x3c\x3e-\x7e]/g, hex)
}

/** What a command line has room for beside all else; a longer name goes into a From of our own. */
const LONGEST_NAME = 200
const LONGEST_ENCODED = 600

/** The server makes the better From: it knows who the caller is. With -G nothing is made of a header. */
export function mayTellName({ authorName, asIs }: Job, offers: Offers): boolean {
  if (authorName === null || asIs || !offers.has('XNAME') || authorName.length > LONGEST_NAME) return false
  const encoded = encodeUtf8Address(authorName)
  return encoded.length <= LONGEST_ENCODED && parseTypedAddress(`utf-8;${encoded}`, false) !== null
}

/** LIMITS RCPTMAX (RFC 9422); null: the server does not say. */
export function mostRecipients(offers: Offers): number | null {
  const [, digits] = /(?:^| )RCPTMAX=([1-9][0-9]{0,8})(?: |$)/i.exec(offers.get('LIMITS') ?? '') ?? []
  return digits === undefined ? null : Number(digits)
}
