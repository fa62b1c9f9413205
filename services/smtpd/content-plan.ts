/**
 * What is to be done with one message's content: limits, the trace field on top, and for a submission what its
 * header is to become. Pure.
 */
import type { BoundsSlice } from '../../shared/config/bounds.ts'
import { isSubmission } from '../../shared/config/slices.ts'
import { roomForTags, tagHeaders } from './access.ts'
import { AuthenticationWatch, originOf } from './authentication/watch.ts'
import type { Examination } from './filter/examination.ts'
import { isAuthenticated, isSigned } from './handover.ts'
import { receivedHeader } from './received.ts'
import { scoreHeader } from './screening.ts'
import { SignatureWatch } from './signature/watch.ts'
import type { Sign } from './signing/signer.ts'
import { SIGNATURE_ROOM, SigningWatch } from './signing/signing-watch.ts'
import type { Hello, Setting, State, Transaction, Verdict } from './state.ts'
import { type Submission, submissionOf } from './submission.ts'

/** How content comes: after DATA, after BDAT as text, after BDAT as whatever octets there are (RFC 3030). */
export type Framing = 'dots' | 'lines' | 'octets'

export interface Outlet {
  /** @param room of the first one: octets to keep in front for a patch; else 0. */
  chunk(stream: number, data: Uint8Array, last: boolean, room: number): void
  abort(stream: number): void
}

export interface ContentPlan {
  stream: number
  sizeLimit: number
  /** Content up to this size is kept whole and sent within the envelope's frame. */
  inlineLimit: number
  bareNewline: 'refuse' | 'normalise'
  framing: Framing
  bounds: BoundsSlice
  /** SMTPUTF8 was asked for. */
  utf8: boolean
  /** Put in front, as it is. */
  received: string
  /** Only for submissions: completes the header. */
  submission: Submission | null
  /** Sees the client's content, as it goes on. */
  watch: SignatureWatch | null
  /** Sees it too; its results get room on top, and fields that forge them go. */
  authentication: AuthenticationWatch | null
  /** Sees what leaves, where it is to be signed. */
  signing: SigningWatch | null
  /** Filters that see what is too large to be kept whole. */
  filters: Examination | null
  /** Octets kept in front of streamed content, for what is only known at its end. */
  room: number
}

/** What filters may add to a header of streamed content. */
export const PATCH_ROOM = 256 << 10

export type Doom = Exclude<Verdict['kind'], 'whole'>

export function planOf(
  {
    bareNewline,
    inlineLimit,
    sign,
  }: Pick<ContentPlan, 'bareNewline' | 'inlineLimit'> & { sign: Sign | null },
  setting: Setting,
  hello: Hello,
  transaction: Transaction,
  state: Pick<State, 'tls' | 'login' | 'standing'>,
  filters: ContentPlan['filters'] = null,
): Omit<ContentPlan, 'framing'> {
  const { sender, signed, asksHeader } = transaction
  const own = state.login?.setting ?? setting
  const signing = sign && isSigned(own) ? new SigningWatch(own.signs, sign) : null
  return {
    stream: transaction.id,
    sizeLimit: own.messageSizeLimit,
    bareNewline,
    inlineLimit,
    bounds: own.bounds,
    utf8: transaction.smtputf8,
    // the recipients of the header have their rules yet to come: `commit` puts all tags on top
    received:
      (asksHeader ? '' : tagHeaders(transaction)) +
      scoreHeader(own, state) +
      receivedHeader(setting, hello, transaction, state),
    // with RCPTHDR a recipient's zone may still ask for a signature
    watch: signed || asksHeader ? new SignatureWatch(sender) : null,
    authentication: isAuthenticated(own) ? new AuthenticationWatch(originOf(own, hello, sender)) : null,
    signing,
    filters,
    room:
      (filters ? PATCH_ROOM : 0) +
      (asksHeader ? roomForTags(own.access) : 0) +
      (signing ? SIGNATURE_ROOM : 0),
    submission: isSubmission(setting.kind) ? submissionOf(own, transaction) : null,
  }
}
