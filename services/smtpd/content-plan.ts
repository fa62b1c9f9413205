/**
 * What is to be done with one message's content: limits, the trace field on top, and for a submission what its
 * header is to become. Pure.
 */
import { isSubmission } from '../../shared/config/slices.ts'
import { tagHeaders } from './access.ts'
import { AuthenticationWatch, originOf } from './authentication/watch.ts'
import type { ContentPlan } from './content.ts'
import { isAuthenticated } from './handover.ts'
import { receivedHeader } from './received.ts'
import { scoreHeader } from './screening.ts'
import { SignatureWatch } from './signature/watch.ts'
import type { Hello, Setting, State, Transaction } from './state.ts'
import { submissionOf } from './submission.ts'

export function planOf(
  { bareNewline, inlineLimit }: Pick<ContentPlan, 'bareNewline' | 'inlineLimit'>,
  setting: Setting,
  hello: Hello,
  transaction: Transaction,
  state: Pick<State, 'tls' | 'login' | 'standing'>,
  filters: ContentPlan['filters'] = null,
): Omit<ContentPlan, 'framing'> {
  const { sender, signed, asksHeader } = transaction
  const own = state.login?.setting ?? setting
  return {
    stream: transaction.id,
    sizeLimit: own.messageSizeLimit,
    bareNewline,
    inlineLimit,
    bounds: own.bounds,
    utf8: transaction.smtputf8,
    received:
      tagHeaders(transaction) + scoreHeader(own, state) + receivedHeader(setting, hello, transaction, state),
    // with RCPTHDR a recipient's zone may still ask for a signature
    watch: signed || asksHeader ? new SignatureWatch(sender) : null,
    authentication: isAuthenticated(own) ? new AuthenticationWatch(originOf(own, hello, sender)) : null,
    filters,
    submission: isSubmission(setting.kind) ? submissionOf(own, transaction) : null,
  }
}
