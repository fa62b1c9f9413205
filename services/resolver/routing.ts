/**
 * Which rule of `routing` is for a recipient: pure. Rules are asked in order, the first whose conditions all hold
 * decides.
 *
 * Not all is known at all times: smtpd asks before the sender's message has a size, and who takes a domain's mail costs
 * a question to DNS. A rule that may hold and lacks a fact stops the search with what it lacks; what was refused before
 * that is not held against it, so nothing is asked for that cannot change the answer.
 */
import type { Payload } from '../../shared/bus/messages.ts'
import type { RouteRuleSlice } from '../../shared/config/slices.ts'
import { fits } from '../../shared/message/next-hop.ts'

export type Mail = NonNullable<Payload<'resolve'>['mail']>

export interface Facts {
  /** As `formatAddress` writes it, in lower case. */
  recipient: string
  /** Null: not known yet. */
  mail: Mail | null
  /** Names and addresses of hosts that take the domain's mail, and who runs them; null: not looked up yet. */
  providers: readonly string[] | null
}

export type Decision =
  | { kind: 'rule'; rule: RouteRuleSlice; index: number }
  | { kind: 'none' }
  | { kind: 'lacking'; what: 'mail' | 'providers' }

type Holds = 'yes' | 'no' | 'mail' | 'providers'

/** @param from the index of the rule to begin with. */
export function decide(rules: readonly RouteRuleSlice[], facts: Facts, from = 0): Decision {
  for (let index = from; index < rules.length; index++) {
    const rule = rules[index]
    if (!rule) continue
    const holds = whether(rule, facts)
    if (holds === 'yes') return { kind: 'rule', rule, index }
    if (holds !== 'no') return { kind: 'lacking', what: holds }
  }
  return { kind: 'none' }
}

/** Whether it may be for this recipient at all. */
export function isAbout(rule: RouteRuleSlice, recipient: string): boolean {
  return matches(rule.recipient, [recipient])
}

/** The cheapest first. Without the mail nothing is decided, so DNS is not asked for it. */
function whether(rule: RouteRuleSlice, { recipient, mail, providers }: Facts): Holds {
  if (!matches(rule.recipient, [recipient])) return 'no'
  if (asksForMail(rule)) {
    if (!mail) return 'mail'
    if (!isOf(rule, mail)) return 'no'
  }
  if (rule.provider === null) return 'yes'
  if (!providers) return 'providers'
  return matches(rule.provider, providers) ? 'yes' : 'no'
}

function asksForMail({ sender, user, attempt, size }: RouteRuleSlice): boolean {
  return sender.length > 0 || user.length > 0 || attempt !== null || size !== null
}

function isOf({ sender, user, attempt, size }: RouteRuleSlice, mail: Mail): boolean {
  if (attempt !== null && mail.attempt < attempt) return false
  if (size !== null && mail.size < size) return false
  if (!matches(sender, [mail.sender.toLowerCase()])) return false
  const names = [mail.user?.toLowerCase(), mail.uid?.toString()].filter((name) => name !== undefined)
  return matches(user, names)
}

/** No patterns are for all. The null sender is no text for `*`. */
function matches(patterns: readonly string[], texts: readonly string[]): boolean {
  if (patterns.length === 0) return true
  return patterns.some((pattern) =>
    texts.some((text) => pattern === text || (text !== '' && fits(pattern, text))),
  )
}
