/**
 * What a sender is to hear of a recipient: pure decisions, by what NOTIFY asked for (RFC 3461 section 4.1) and
 * what became of the recipient (the actions of RFC 3464 section 2.3.3).
 *
 * A success is told of where our part in it ends: `delivered` into a mailbox, `relayed` to a host that will not
 * tell, `expanded` to the many that an alias stands for. A host that took the wish over tells for itself. Each
 * kind comes at most once for a recipient: four of them end its life here, and `delayed` is marked in its row.
 * Next: `reports.ts`, which makes reports of these.
 */

import type { Envelope, Recipient } from '../../shared/message/envelope.ts'
import { wants } from '../../shared/message/notify.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { Verdict } from './verdict.ts'

export type NoticeKind = 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded'

export interface Notice {
  kind: NoticeKind
  recipient: Recipient
  reply: Reply
  /** Given up because the time was over, not because somebody said no. */
  expired: boolean
  /** For `delayed`: how long it will be tried, milliseconds since 1970. */
  until?: number
}

/** Null: nothing is to be told, or nobody is there to be told (RFC 5321 section 4.5.5: never in answer to <>). */
export function noticeFor(
  envelope: Envelope,
  recipient: Recipient,
  outcome: Outcome,
  verdict: Verdict,
): Notice | null {
  if (envelope.sender === '') return null
  const { notify } = recipient
  const { reply } = outcome
  switch (verdict.kind) {
    case 'done': {
      const kind = successKind(recipient)
      if (kind === 'relayed' && mustTrace(envelope, recipient, outcome))
        return { kind, recipient, reply, expired: false }
      if (!wants(notify, 'SUCCESS') || (outcome.kind === 'sent' && outcome.dsn)) return null
      return { kind, recipient, reply, expired: false }
    }
    case 'fail':
      return wants(notify, 'FAILURE') ? { kind: 'failed', recipient, reply, expired: verdict.expired } : null
    case 'wait':
      return verdict.warn && wantsDelay(envelope, notify)
        ? { kind: 'delayed', recipient, reply, expired: false, until: verdict.until }
        : null
    default: {
      const never: never = verdict
      throw new Error(`unknown verdict ${String(never)}`)
    }
  }
}

/** RFC 2852 section 4.2: the sender asked for a trace, or the next host does not know of the time. */
function mustTrace({ deliverBy }: Envelope, { notify }: Recipient, outcome: Outcome): boolean {
  if (!deliverBy || notify === 'NEVER') return false
  return deliverBy.trace || (outcome.kind === 'sent' && outcome.untimed === true)
}

/** RFC 2852 section 4.1: by-mode N is a wish to hear of delay, unless NOTIFY=NEVER. */
function wantsDelay({ deliverBy }: Envelope, notify: string | undefined): boolean {
  return deliverBy?.mode === 'notify' ? notify !== 'NEVER' : wants(notify, 'DELAY')
}

/** LMTP is final delivery (RFC 2033 section 4.2); SMTP only hands on (RFC 3461 section 5.2.2), as agents do. */
function successKind({ route }: Recipient): 'delivered' | 'relayed' {
  if (route?.kind === 'agent') return 'relayed'
  return route?.kind === 'smtp' && route.protocol === 'smtp' ? 'relayed' : 'delivered'
}

// RFC 3463 section 3.2: the address is good
const EXPANDED: Reply = { code: 250, enhanced: '2.1.5', text: 'passed on to all it stands for', host: '' }

/** RFC 3461 section 5.2.7. */
export function expandedNotice(recipient: Recipient): Notice {
  return { kind: 'expanded', recipient, reply: EXPANDED, expired: false }
}
