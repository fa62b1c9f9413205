/**
 * What a sender demands of TLS (XTLS of MAIL, `shared/README.md`). Pure.
 *
 * A demand that is not met puts the message off: the next host may meet it, and the same one later. It is the message's
 * trouble, not the destination's, which goes on taking the mail of others.
 */
import type { TlsDemand } from '../../shared/message/envelope.ts'
import type { Reply } from '../../shared/message/outcome.ts'

/** How replies about it begin. */
export const SENDER_DEMANDS = 'the sender demands'

/** And those about a password, which is for nobody else. */
export const LOGIN_DEMANDS = 'our login demands'

/** Never in clear. */
export function demandsTls(demand: TlsDemand | null): boolean {
  return demand === 'encrypted' || demand === 'verified'
}

/** One of the replies that begin so. */
export function isUnmet({ host, text }: Reply): boolean {
  return host === '' && [SENDER_DEMANDS, LOGIN_DEMANDS].some((start) => text.startsWith(start))
}
