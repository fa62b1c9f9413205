/**
 * The type of access rules: on whom, and what then.
 *
 *     rule client { 192.0.2.0/24; } sender "*@example.net" reject "write to abuse@example.org";
 *
 * Conditions come first, each at most once, then the action. `types.ts` explains what a type is.
 */
import { formatAddress, parseMailbox } from '../smtp/address.ts'
import type { Arguments } from './arguments.ts'
import { type MatchElement, matchList, readNamePattern } from './match-list.ts'
import type { AccessAction, AccessRuleSlice } from './slices.ts'
import type { Span } from './source.ts'
import { type Type, toDomain } from './types.ts'
import { bad, ok, type Reading } from './units.ts'

const patternNames = ['helo', 'sender', 'recipient'] as const
type PatternName = (typeof patternNames)[number]

export interface AccessRuleValue extends Record<PatternName, string[]> {
  at: Span
  client: MatchElement[] | null
  maps: AccessRuleSlice['maps']
  action: AccessAction
}

const actions = ['accept', 'reject', 'defer', 'discard', 'hold', 'tag', 'redirect'] as const
const conditions = ['client', ...patternNames] as const

export const accessRule: Type<AccessRuleValue> = {
  syntax:
    '[client { MATCH; … } | map "NAME"] [helo "PATTERN" … | map "NAME"] [sender "PATTERN" … | map "NAME"] ' +
    '[recipient "PATTERN" … | map "NAME"] ' +
    'accept | reject ["TEXT"] | defer ["TEXT"] | discard | hold | tag "TEXT" | redirect "ADDRESS"',
  read: (args) => {
    const at = args.last
    const rule: Omit<AccessRuleValue, 'action'> = {
      at,
      client: null,
      maps: [],
      helo: [],
      sender: [],
      recipient: [],
    }
    const seen = new Set<string>()
    for (;;) {
      const word = args.peekWord()
      const name = args.oneOf([...conditions, ...actions])
      if (name === undefined) return undefined
      if (isAction(name)) {
        if (seen.size === 0)
          return args.fail(word ?? at, 'a rule on nobody', 'for everybody write `rule client { any; } …`')
        const action = readAction(name, args)
        return action && { ...rule, action }
      }
      if (seen.has(name)) return args.fail(word ?? at, `\`${name}\` stands here twice`)
      seen.add(name)
      if (!readCondition(name, args, rule)) return undefined
    }
  },
  valid: (value) => typeof value === 'object' && value !== null,
  print: ({ action }) => action.kind,
}

function isAction(name: string): name is AccessAction['kind'] {
  return actions.some((one) => one === name)
}

function readCondition(
  name: (typeof conditions)[number],
  args: Arguments,
  rule: Omit<AccessRuleValue, 'action'>,
): boolean {
  if (args.keyword('map')) {
    const map = args.word('the name of a map')
    if (map) rule.maps.push({ about: name, map: map.text })
    return map !== undefined
  }
  if (name === 'client') {
    const list = matchList.read(args)
    if (list) rule.client = list
    return list !== undefined
  }
  const read = name === 'helo' ? readNamePattern : readAddressPattern
  do {
    const pattern = args.parse('"PATTERN"', read)
    if (pattern === undefined) return false
    rule[name].push(pattern)
  } while (args.peekWord()?.quoted)
  return true
}

/** In the form that addresses have in envelopes; without `@` it is about the domain; `<>` is the null sender. */
export function readAddressPattern(text: string): Reading<string> {
  if (text === '<>' || text === '') return ok('')
  const split = text.lastIndexOf('@')
  const [local, domain] = split < 0 ? ['*', text] : [text.slice(0, split), text.slice(split + 1)]
  if (local === '' || domain === '' || /[\s<>]/.test(text) || text.length > 320)
    return bad(
      `\`${text}\` is no pattern for addresses`,
      'such as `"*@example.org"`, `"example.org"` or `"<>"`',
    )
  const plain = domain.includes('*') ? domain : (toDomain(domain) ?? domain)
  return ok(`${local}@${plain}`.toLowerCase())
}

function readAction(kind: AccessAction['kind'], args: Arguments): AccessAction | undefined {
  switch (kind) {
    case 'accept':
    case 'discard':
    case 'hold':
      return { kind }
    case 'reject':
    case 'defer': {
      const text = args.peekWord() ? args.parse('"TEXT"', readText) : null
      return text === undefined ? undefined : { kind, text }
    }
    case 'tag': {
      const text = args.parse('"TEXT"', readText)
      return text === undefined ? undefined : { kind, text }
    }
    case 'redirect': {
      const address = args.parse('"ADDRESS"', readAddress)
      return address === undefined ? undefined : { kind, address }
    }
    default:
      return kind satisfies never
  }
}

/** A line of a reply, or a field of a header. */
export function readText(text: string): Reading<string> {
  return /^[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?$/.test(text)
    ? ok(text)
    : bad('this text cannot be said', '1 to 200 characters of ASCII, none of them a space at either end')
}

function readAddress(text: string): Reading<string> {
  const parsed = parseMailbox(text, { utf8: true })
  if (!parsed.ok || parsed.address.domain === '')
    return bad(`\`${text}\` is no address`, 'such as `"abuse@example.org"`')
  return ok(formatAddress(parsed.address))
}
