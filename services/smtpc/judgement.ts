/**
 * What a host has shown, held against its policy: the table behind `tls-policy.ts`. Pure.
 *
 * | shown                          | check nothing | authority                         | dane      | pinned |
 * | ------------------------------ | ------------- | --------------------------------- | --------- | ------ |
 * | clear text                     | good, or bad where clear is `never`, whatever the check is            ||||
 * | a certificate                  | good          | chain trusted, and one of the names | `dane.ts` | is it, or has its key |
 * | a session resumed              | what was said of the first one, which had the same policy             ||||
 *
 * Bad is a reply for the next host and for the log, temporary: nothing is returned because of it before its time is
 * over. RFC 3463 section 3.8: 4.7.4 is a security feature that is missing, 4.7.5 one that failed.
 */
import { createHash, type X509Certificate } from 'node:crypto'
import type { Reply } from '../../shared/message/outcome.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import { hasName } from './certificate-names.ts'
import { verifyDane } from './dane.ts'
import { LOGIN_DEMANDS, SENDER_DEMANDS } from './demand.ts'
import type { Policy } from './tls-policy.ts'

export interface Shown {
  encrypted: boolean
  /** As sent, the host's own first; empty where a session was resumed. */
  chain: readonly X509Certificate[]
  /** The chain leads to an authority; what OpenSSL says otherwise. */
  trusted: boolean
  trouble: string
  /** What was said of the session that is resumed. */
  earlier: Good | null
}

/** RFC 8460 section 4.3. */
export type Failure =
  | 'starttls-not-supported'
  | 'certificate-host-mismatch'
  | 'certificate-expired'
  | 'certificate-not-trusted'
  | 'validation-failure'

/** proof: how the host has shown who it is; '' where it need not. */
export interface Good {
  kind: 'good'
  proof: '' | 'PKIX' | 'DANE-EE' | 'DANE-TA' | 'fingerprint'
}
export interface Bad {
  kind: 'bad'
  failure: Failure
  why: string
}
export type Verdict = Good | Bad

const GOOD: Good = { kind: 'good', proof: '' }

/** @param now milliseconds since 1970. */
export function judge({ check, clear }: Policy, shown: Shown, now: number): Verdict {
  const [leaf] = shown.chain
  if (!shown.encrypted) {
    return clear === 'never' || check.kind !== 'nothing'
      ? bad('starttls-not-supported', 'no TLS is offered')
      : GOOD
  }
  if (check.kind === 'nothing') return GOOD
  if (shown.earlier) return shown.earlier
  if (!leaf) return bad('validation-failure', 'no certificate is shown')
  switch (check.kind) {
    case 'authority':
      return byAuthority(leaf, check.names, shown)
    case 'dane':
      return byDane(check, shown.chain, now)
    case 'pinned':
      return isPinned(leaf, check.fingerprints)
        ? { kind: 'good', proof: 'fingerprint' }
        : bad('certificate-not-trusted', `its SHA-256 fingerprint is ${sha256(leaf.raw)}`)
    default: {
      const never: never = check
      throw new Error(`unknown check ${String(never)}`)
    }
  }
}

function byAuthority(leaf: X509Certificate, names: readonly string[], { trusted, trouble }: Shown): Verdict {
  if (!trusted) {
    const failure = trouble === 'CERT_HAS_EXPIRED' ? 'certificate-expired' : 'certificate-not-trusted'
    return bad(failure, trouble)
  }
  if (names.some((name) => hasName(leaf, name))) return { kind: 'good', proof: 'PKIX' }
  const shown = leaf.subjectAltName ?? leaf.subject.replaceAll('\n', ', ')
  return bad('certificate-host-mismatch', `it is for ${shown.slice(0, 200)}`)
}

const DANE_WHY = {
  'validation-failure': 'it is not what the TLSA records say',
  'certificate-host-mismatch': 'it has another name',
  'certificate-expired': 'it is not valid now',
} as const

function byDane(
  { records, names }: Extract<Policy['check'], { kind: 'dane' }>,
  chain: readonly X509Certificate[],
  now: number,
): Verdict {
  const verdict = verifyDane(records, chain, names, now)
  if (verdict.kind === 'failed') return bad(verdict.why, DANE_WHY[verdict.why])
  return { kind: 'good', proof: verdict.usage === 3 ? 'DANE-EE' : 'DANE-TA' }
}

/** The certificate's, or its key's. */
function isPinned({ raw, publicKey }: X509Certificate, fingerprints: readonly string[]): boolean {
  const key = publicKey.export({ type: 'spki', format: 'der' })
  return fingerprints.includes(sha256(raw)) || fingerprints.includes(sha256(key))
}

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

function bad(failure: Failure, why: string): Bad {
  return { kind: 'bad', failure, why }
}

/** Why this host does not get the message now. */
export function refusal(policy: Policy, host: string, { failure, why }: Bad): Reply {
  const who = whoDemands(policy)
  if (failure === 'starttls-not-supported')
    return own(451, '4.7.4', `${who} TLS, and ${host} does not offer it`)
  return own(451, '4.7.5', `${who} a certificate that can be verified, not that of ${host}: ${why}`)
}

export function handshakeRefusal(policy: Policy, host: string, why: string): Reply {
  return own(451, '4.7.5', `${whoDemands(policy)} TLS, and the handshake with ${host} failed: ${why}`)
}

function whoDemands({ demandedBy, name }: Policy): string {
  if (demandedBy === 'login') return LOGIN_DEMANDS
  return demandedBy === 'sender' ? SENDER_DEMANDS : `its TLS policy (${name}) demands`
}
