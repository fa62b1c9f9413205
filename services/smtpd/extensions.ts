/**
 * What the answer to EHLO and LHLO offers (RFC 5321 section 4.1.1.1), to whom and when: one table. Pure; next:
 * `parameters.ts`, which takes what is offered here and nothing else.
 */
import { isSubmission } from '../../shared/config/slices.ts'
import { offeredMechanisms } from './auth.ts'
import type { MailOffers } from './parameters.ts'
import type { Moment, Setting, State } from './state.ts'
import { VERDICT_LIMIT } from './verdict.ts'
import { XCLIENT_NAMES, XFORWARD_NAMES } from './xclient.ts'

const extensions: readonly ((setting: Setting, state: State, now: Moment) => string | null)[] = [
  () => 'PIPELINING', // RFC 2920
  (setting) => `SIZE ${setting.messageSizeLimit}`, // RFC 1870
  () => '8BITMIME', // RFC 6152
  () => 'CHUNKING', // RFC 3030
  () => 'BINARYMIME', // RFC 3030
  () => 'SMTPUTF8', // RFC 6531
  () => 'ENHANCEDSTATUSCODES', // RFC 2034
  () => 'DSN', // RFC 3461
  ({ recipientLimit }) => `LIMITS RCPTMAX=${recipientLimit}`, // RFC 9422
  // these are ours, see shared/README.md
  ({ kind }) => (kind === 'local' ? 'XASIS' : null),
  ({ kind }) => (kind === 'local' ? 'XNAME' : null),
  ({ kind }) => (kind === 'local' ? 'XWHY' : null),
  ({ kind, removesArguments }) => (isSubmission(kind) ? `RCPTHDR${removesArguments ? ' REMOVE' : ''}` : null),
  ({ kind }) => (isSubmission(kind) ? 'XTLS' : null),
  ({ kind }) => (isSubmission(kind) ? `VERDICT ${VERDICT_LIMIT}` : null),
  (_, { secure }) => (secure ? 'REQUIRETLS' : null), // RFC 8689 section 2
  (setting, _, now) => futureRelease(setting, now.time), // RFC 4865
  ({ kind }) => (isSubmission(kind) ? 'DELIVERBY' : null), // RFC 2852
  ({ kind }) => (isSubmission(kind) ? 'MT-PRIORITY' : null), // RFC 6710
  ({ kind, grants }) => (grants.etrn && kind !== 'lmtp' ? 'ETRN' : null), // RFC 1985
  ({ grants }) => (grants.vrfy ? 'VRFY' : null), // RFC 5321 section 3.5.2
  ({ grants }) => (grants.expn ? 'EXPN' : null),
  ({ assume }) => (assume ? `XCLIENT ${XCLIENT_NAMES.join(' ')}` : null),
  ({ grants }) => (grants.xforward ? `XFORWARD ${XFORWARD_NAMES.join(' ')}` : null),
  (setting, state) => (offersTls(setting) && !state.secure ? 'STARTTLS' : null), // RFC 3207
  (setting, state) =>
    offeredMechanisms(setting, state)
      .join(' ')
      .replace(/^(?=.)/, 'AUTH ') || null, // RFC 4954
]

function futureRelease({ holdLimit }: Setting, now: number): string | null {
  if (holdLimit === 0) return null
  const until = new Date(now + holdLimit).toISOString().replace(/\.\d+/, '')
  return `FUTURERELEASE ${Math.floor(holdLimit / 1000)} ${until}`
}

/** What not everybody may ask for in MAIL. */
export function mailOffers({ kind, holdLimit }: Setting, { secure }: State): MailOffers {
  return {
    longestHold: holdLimit,
    submission: isSubmission(kind),
    local: kind === 'local',
    requireTls: secure,
  }
}

function offersTls({ starttls }: Setting): boolean {
  return starttls === 'offered' || starttls === 'required'
}

/** The keywords with their parameters, in order. */
export function offered(setting: Setting, state: State, now: Moment): string[] {
  return extensions.flatMap((extension) => extension(setting, state, now) ?? [])
}
