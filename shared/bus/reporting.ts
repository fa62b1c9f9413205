/**
 * What smtpd tells the resolver for DMARC's aggregate reports (RFC 9990), and what the command asks about them: the
 * parts of `messages.ts` that would be too long there.
 */
import { boolean, type Infer, integer, list, oneOf, string, struct } from '../base/shape.ts'

const passOrFail = oneOf('pass', 'fail')

/** Messages of which all this is the same. */
export const dmarcCountShape = struct({
  /** Where the policy was found, and its record. */
  domain: string,
  record: string,
  source: string,
  disposition: oneOf('none', 'quarantine', 'reject'),
  /** Why it is not what the policy says; '' where it is. */
  reason: oneOf('', 'local_policy', 'trusted_forwarder'),
  /** Passed, and for a domain that is the author's. */
  dkim: passOrFail,
  spf: passOrFail,
  author: string,
  /** The domain of the reverse-path, '' of the null one. */
  envelope: string,
  spfScope: oneOf('mfrom', 'helo'),
  spfDomain: string,
  spfResult: oneOf('none', 'neutral', 'pass', 'fail', 'softfail', 'temperror', 'permerror'),
  signatures: list(struct({ domain: string, selector: string, result: string }), 100),
  count: integer,
})
export type DmarcCount = Infer<typeof dmarcCountShape>

export const dmarcCounts = { counts: list(dmarcCountShape, 1000) }

/** send: all that is due; with `today`, what this day has brought so far, too. */
export const reportsActQuestion = { act: oneOf('list', 'send'), today: boolean }

export const reportsActAnswer = struct({
  /** day: of UTC, as `2026-11-21`; to: whom the report goes to, as the domain says it. */
  reports: list(
    struct({ day: string, domain: string, to: string, messages: integer, attempts: integer }),
    1000,
  ),
  /** None are sent here. */
  off: boolean,
  sent: integer,
  failed: integer,
})
