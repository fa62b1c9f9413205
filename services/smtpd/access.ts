/**
 * Access rules: which one decides over a recipient, and what comes of it. Pure.
 *
 * Rules stand in order; the first whose conditions all hold decides, `tag` adds its mark and lets the next ones be
 * looked at. What is about the client alone is sorted out once, when it connects (`rulesFor`), so a RCPT is
 * compared with nothing that could not concern it. Patterns are matched in linear time.
 *
 * While DNS cannot tell what a client is called, a rule that depends on its name does not match; where that rule could
 * have spoken for the client, what a later one would refuse for good is put off.
 */
import { type ClientMatcher, compileClients, hasNames } from '../../shared/config/address-match.ts'
import type { AccessAction, AccessRuleSlice } from '../../shared/config/slices.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { replies } from './replies.ts'
import { isLike } from './rights.ts'
import type { AskedRecipient, Hello, Moment, Setting, Transaction } from './state.ts'

/** A rule as a session has it: about its client, or not about clients at all. */
export interface AccessRule extends Omit<AccessRuleSlice, 'client'> {
  matchesClient: ClientMatcher | null
  /** What it matches may depend on a client's name. */
  byName: boolean
}

/** What the rules say of one recipient. */
export interface Ruling {
  /** `file:line:column` of the rule that decided; '' where there were only tags. */
  place: string
  action: AccessAction['kind']
  tags: readonly string[]
  /** Where it goes instead. */
  redirect?: string
}

export function compileAccess(rules: readonly AccessRuleSlice[]): AccessRule[] {
  return rules.map(({ client, ...rule }) => ({
    ...rule,
    matchesClient: client && compileClients(client),
    byName: client !== null && hasNames(client),
  }))
}

/** @param name null: it cannot be told. */
export function rulesFor(rules: readonly AccessRule[], client: string, name: string | null): AccessRule[] {
  if (rules.length === 0) return NO_RULES
  let mayBeWelcome = false
  return rules.flatMap((rule): AccessRule[] => {
    const { matchesClient, action } = rule
    const found = matchesClient === null ? 'yes' : matchesClient(client, name)
    if (found === 'unclear') mayBeWelcome ||= !HARSH.has(action.kind)
    if (found !== 'yes') return []
    if (!mayBeWelcome || action.kind !== 'reject') return [rule]
    return [{ ...rule, action: { ...action, kind: 'defer' } }]
  })
}

/** Nothing is gained by one of these. */
const HARSH: ReadonlySet<AccessAction['kind']> = new Set<AccessAction['kind']>(['reject', 'defer', 'tag'])

/** What a client is called matters to one of them. */
export function dependOnName(rules: readonly AccessRule[], client: string): boolean {
  return rules.some(({ byName, matchesClient }) => byName && matchesClient?.(client, null) === 'unclear')
}

/** The rules for a client whose name nobody has asked for yet: none, where the first one may depend on it. */
export function rulesBeforeName(rules: readonly AccessRule[], client: string): AccessRule[] {
  const first = rules.find(({ matchesClient }) => matchesClient?.(client, null) !== 'no')
  return first?.byName && dependOnName([first], client) ? NO_RULES : rulesFor(rules, client, null)
}

const NO_RULES: AccessRule[] = []

/** The rule by which this client is not even greeted. */
export function whyTurnedAway([first]: readonly AccessRule[]): { place: string; reply: SmtpReply } | null {
  if (!first || !isOnClients(first)) return null
  const { action, place } = first
  if (action.kind === 'reject') return { place, reply: worded(replies.accessDenied, action.text) }
  if (action.kind === 'defer') return { place, reply: worded(replies.accessDeferred, action.text) }
  return null
}

/** It is greeted, whatever else is known of it. */
export function isWelcome([first]: readonly AccessRule[]): boolean {
  return first !== undefined && first.action.kind === 'accept' && isOnClients(first)
}

/** All that it is about is settled when the client connects. */
function isOnClients({ helo, sender, recipient, maps }: AccessRule): boolean {
  return helo.length + sender.length + recipient.length + maps.length === 0
}

/** Null: no rule has anything to say. */
export function rulingOn(
  rules: readonly AccessRule[],
  { name }: Hello,
  { sender }: Pick<Transaction, 'sender'>,
  { address }: Pick<AskedRecipient, 'address'>,
  ask: Asks,
): { ruling: Ruling; refusal: SmtpReply | null } | null {
  if (rules.length === 0) return null
  const [helo, from, to] = [name.toLowerCase(), sender.toLowerCase(), address.toLowerCase()]
  const tags: string[] = []
  for (const rule of rules) {
    if (!holds(rule.helo, helo) || !holds(rule.sender, from) || !holds(rule.recipient, to)) continue
    const { action, place } = rule
    const inMaps = holdsInMaps(rule, { client: ask.client, helo, sender: from, recipient: to }, ask)
    if (inMaps === 'later') return { ruling: { place, action: 'defer', tags }, refusal: replies.mapTrouble }
    if (!inMaps) continue
    if (action.kind !== 'tag') return decided(action, place, tags)
    tags.push(action.text)
  }
  return tags.length > 0 ? { ruling: { place: '', action: 'tag', tags }, refusal: null } : null
}

/** All that have something to say of a recipient, in order; only the last one may decide. For who asks why. */
export function rulesThatHold(
  rules: readonly AccessRule[],
  { name }: Hello,
  { sender, address }: { sender: string; address: string },
  ask: Asks,
): AccessRule[] {
  const [helo, from, to] = [name.toLowerCase(), sender.toLowerCase(), address.toLowerCase()]
  const held = rules.filter(
    (rule) =>
      holds(rule.helo, helo) &&
      holds(rule.sender, from) &&
      holds(rule.recipient, to) &&
      holdsInMaps(rule, { client: ask.client, helo, sender: from, recipient: to }, ask) !== false,
  )
  const first = held.findIndex(({ action }) => action.kind !== 'tag')
  return first < 0 ? held : held.slice(0, first + 1)
}

function holds(patterns: readonly string[], text: string): boolean {
  return patterns.length === 0 || patterns.some((pattern) => isLike(pattern, text))
}

/** Of whom maps are asked, and for which client. */
export interface Asks {
  client: string
  lookUp: Moment['lookUp']
}

export function asks({ client }: Pick<Setting, 'client'>, { lookUp }: Pick<Moment, 'lookUp'>): Asks {
  return { client, lookUp }
}

const uses = { client: 'client', helo: 'host', sender: 'address', recipient: 'address' } as const

/** All of them are asked, though one might do: they are asked together. */
function holdsInMaps(
  { maps }: AccessRule,
  about: Readonly<Record<keyof typeof uses, string>>,
  { lookUp }: Asks,
): boolean | 'later' {
  if (maps.length === 0) return true
  const answers = maps.map(({ about: what, map }) => lookUp({ map, use: uses[what], key: about[what] }))
  if (answers.some((answer) => answer?.kind === 'missing')) return false
  return answers.every((answer) => answer?.kind === 'found') || 'later'
}

function decided(
  action: Exclude<AccessAction, { kind: 'tag' }>,
  place: string,
  tags: readonly string[],
): { ruling: Ruling; refusal: SmtpReply | null } {
  const ruling: Ruling = { place, action: action.kind, tags }
  switch (action.kind) {
    case 'reject':
      return { ruling, refusal: worded(replies.recipientDenied, action.text) }
    case 'defer':
      return { ruling, refusal: worded(replies.recipientDeferred, action.text) }
    case 'redirect':
      return { ruling: { ...ruling, redirect: action.address }, refusal: null }
    case 'accept':
    case 'discard':
    case 'hold':
      return { ruling, refusal: null }
    default:
      return action satisfies never
  }
}

function worded(reply: SmtpReply, text: string | null): SmtpReply {
  return text === null ? reply : { ...reply, text }
}

/** The marks of a message, as fields. */
export function tagHeaders({ tags }: Pick<Transaction, 'tags'>): string {
  return tags.map((tag) => `X-Posthorn-Tag: ${tag}\r\n`).join('')
}

/** Octets that all marks of these rules may take. */
export function roomForTags(rules: readonly AccessRule[]): number {
  const tags = rules.flatMap(({ action }) => (action.kind === 'tag' ? [action.text] : []))
  return Buffer.byteLength(tagHeaders({ tags }))
}

/** Nobody asks who the client is: a rule says that it is welcome, or the message goes nowhere. */
export function isBeyondDoubt(ruling: Ruling | undefined): boolean {
  return ruling?.action === 'accept' || ruling?.action === 'discard'
}
