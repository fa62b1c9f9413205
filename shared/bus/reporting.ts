/**
 * What smtpd tells the resolver for DMARC's aggregate reports (RFC 9990), what smtpc tells it, by way of qmgr, for
 * those about TLS (RFC 8460), and what the command asks about both: the parts of `messages.ts` that would be too long there.
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

/** Sessions of which all this is the same. */
export const tlsCountShape = struct({
  /** That of the recipients. */
  domain: string,
  policy: oneOf('tlsa', 'sts', 'no-policy-found'),
  /** The policy as RFC 8460 section 4.4 wants it said; without hosts but for `sts`. */
  text: list(string, 128),
  hosts: list(string, 100),
  /** Section 4.3; '': TLS stood, and what is below is empty too. */
  result: oneOf(
    ...(['', 'starttls-not-supported', 'certificate-host-mismatch', 'certificate-expired'] as const),
    ...([
      'certificate-not-trusted',
      'validation-failure',
      'tlsa-invalid',
      'dnssec-invalid',
      'dane-required',
    ] as const),
  ),
  mx: string,
  /** Of the host, and ours; '' where none was connected. */
  address: string,
  local: string,
  count: integer,
})
export type TlsCount = Infer<typeof tlsCountShape>

export const tlsCounts = { counts: list(tlsCountShape, 1000) }

/** send: all that is due; with `today`, what this day has brought so far, too. */
export const reportsActQuestion = { act: oneOf('list', 'send'), today: boolean }

export const reportsActAnswer = struct({
  /** day: of UTC, as `2026-11-21`; to: whom the report goes to, as the domain says it. */
  reports: list(
    struct({
      kind: oneOf('dmarc', 'tls'),
      day: string,
      domain: string,
      to: string,
      /** For tls: sessions. */
      messages: integer,
      attempts: integer,
    }),
    1000,
  ),
  /** None are sent here. */
  off: boolean,
  sent: integer,
  failed: integer,
})
