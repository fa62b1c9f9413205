/**
 * What a sender demands of TLS (XTLS of MAIL, `shared/README.md`), and what it means where a host cannot meet it. Pure.
 *
 * A demand that is not met puts the message off: the next host may meet it, and the same one later. It is the message's
 * trouble, not the destination's, which goes on taking the mail of others.
 */
import type { TlsDemand } from '../../shared/message/envelope.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import { own } from '../../shared/smtp-client/commands.ts'

/** What became of TLS on a session. */
export interface Secured {
  encrypted: boolean
  verified: boolean
  /** Why it is not verified. */
  why: string
}

/** Never in clear. */
export function demandsTls(demand: TlsDemand | null): boolean {
  return demand === 'encrypted' || demand === 'verified'
}

/** RFC 3463 section 3.8: 4.7.4 is a security feature that is missing, 4.7.5 one that failed. */
/** @param who demands it. */
export function whyUnmet(
  demand: TlsDemand | null,
  { encrypted, verified, why }: Secured,
  host: string,
  who = 'the sender',
): Reply | null {
  if (!demandsTls(demand)) return null
  if (!encrypted) return own(451, '4.7.4', `${who} demands TLS, and ${host} does not offer it`)
  if (demand === 'encrypted' || verified) return null
  return own(451, '4.7.5', `${who} demands a certificate that can be verified, not that of ${host}: ${why}`)
}

export function handshakeFailed(host: string, why: string, who = 'the sender'): Reply {
  return own(451, '4.7.5', `${who} demands TLS, and the handshake with ${host} failed: ${why}`)
}

/** One of the replies above. */
export function isUnmet({ enhanced, host }: Reply): boolean {
  return host === '' && (enhanced === '4.7.4' || enhanced === '4.7.5')
}
