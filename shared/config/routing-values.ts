/**
 * The type of routing rules: on what, and by which way then.
 *
 *     rule sender "*@brand.example" relay "brand";
 *     rule provider "microsoft" direct else relay "smarthost";
 *
 * Conditions come first, each at most once, then the way. `types.ts` explains what a type is.
 */
import { readAddressPattern, readText } from './access-values.ts'
import type { Arguments } from './arguments.ts'
import type { OwnReply, RouteWay } from './routing-slice.ts'
import type { Span } from './source.ts'
import { count, quote, size, type Type } from './types.ts'
import { bad, G, ok, type Reading } from './units.ts'

const patternNames = ['recipient', 'sender', 'user', 'provider'] as const
type PatternName = (typeof patternNames)[number]
const conditions = [...patternNames, 'attempt', 'size'] as const
const ways = ['relay', 'direct', 'discard', 'error'] as const

/** A name of a section, with its place. */
export interface Named {
  name: string
  at: Span
}

export interface RouteRuleValue extends Record<PatternName, string[]> {
  at: Span
  attempt: number | null
  size: number | null
  way: RouteWay | { kind: 'map'; name: string }
  otherwise: RouteWay | null
  /** The sections that it names. */
  relays: Named[]
  maps: Named[]
}

/** `550 "5.1.2" "TEXT"`: code and class agree (RFC 3463 section 2). */
export const ownReply: Type<OwnReply> = {
  syntax: 'CODE ["X.Y.Z"] ["TEXT"]',
  read: (args) => {
    const code = args.parse('CODE', readCode)
    if (code === undefined) return undefined
    const usual = code >= 500 ? '5.1.2' : '4.1.2'
    const second = args.peekWord()
    const isCode = second !== null && /^\d\.\d{1,3}\.\d{1,3}$/.test(second.text)
    if (isCode && !second.text.startsWith(String(code).charAt(0)))
      return args.fail(second, `${second.text} does not go with ${code}`, `such as \`"${usual}"\``)
    if (isCode) args.take()
    const text = args.peekWord()?.quoted ? args.parse('"TEXT"', readText) : USUAL_TEXT
    return text === undefined ? undefined : { code, enhanced: isCode ? second.text : usual, text }
  },
  valid: (value) => typeof value === 'object' && value !== null,
  print: ({ code, enhanced, text }) => `${code} ${quote(enhanced)} ${quote(text)}`,
}

const USUAL_TEXT = 'No mail is taken for this address'
/** RFC 3463 section 3.2: bad destination system address. */
export const usualReply: OwnReply = { code: 550, enhanced: '5.1.2', text: USUAL_TEXT }

function readCode(text: string): Reading<number> {
  return /^[45]\d\d$/.test(text) && text !== '421'
    ? ok(Number(text))
    : bad(`\`${text}\` is no code of a refusal`, 'such as 550, or 450 for those who are to try again')
}

const attempts = count(2, 1000)
const sizes = size(1, 100 * G)

export const routeRule: Type<RouteRuleValue> = {
  syntax:
    '[recipient "PATTERN" …] [sender "PATTERN" …] [user "NAME" …] [provider "NAME" …] [attempt NUMBER] [size SIZE] ' +
    'map "NAME" | relay "NAME" | direct | discard | error CODE ["X.Y.Z"] ["TEXT"] [else …]',
  read: (args) => {
    const rule: RouteRuleValue = {
      ...{ at: args.last, recipient: [], sender: [], user: [], provider: [], attempt: null, size: null },
      ...{ way: { kind: 'direct' }, otherwise: null, relays: [], maps: [] },
    }
    const seen = new Set<string>()
    for (;;) {
      const word = args.peekWord()
      const name = args.oneOf([...conditions, 'map', ...ways])
      if (name === undefined) return undefined
      if (!isCondition(name)) return readWays(name, args, rule)
      if (seen.has(name)) return args.fail(word ?? args.last, `\`${name}\` stands here twice`)
      seen.add(name)
      if (!readCondition(name, args, rule)) return undefined
    }
  },
  valid: (value) => typeof value === 'object' && value !== null,
  print: ({ way }) => way.kind,
}

function isCondition(name: string): name is (typeof conditions)[number] {
  return conditions.some((one) => one === name)
}

function readCondition(name: (typeof conditions)[number], args: Arguments, rule: RouteRuleValue): boolean {
  if (name === 'attempt' || name === 'size') {
    rule[name] = (name === 'attempt' ? attempts : sizes).read(args) ?? null
    return rule[name] !== null
  }
  const read = name === 'user' || name === 'provider' ? readName : readAddressPattern
  do {
    const pattern = args.parse('"PATTERN"', read)
    if (pattern === undefined) return false
    rule[name].push(pattern)
  } while (args.peekWord()?.quoted)
  return true
}

function readName(text: string): Reading<string> {
  return /^[^\s"<>]{1,255}$/.test(text)
    ? ok(text.toLowerCase())
    : bad(`\`${text}\` is no name`, 'no blanks; `*` stands for any text')
}

function readWays(
  kind: (typeof ways)[number] | 'map',
  args: Arguments,
  rule: RouteRuleValue,
): RouteRuleValue | undefined {
  if (kind === 'map') {
    const word = args.word('the name of a `map` section')
    if (!word) return undefined
    rule.maps.push({ name: word.text, at: word })
    return { ...rule, way: { kind, name: word.text } }
  }
  const way = readWay(kind, args, rule)
  if (!way || !args.keyword('else')) return way && { ...rule, way }
  const other = args.oneOf(ways)
  const otherwise = other && readWay(other, args, rule)
  return otherwise && { ...rule, way, otherwise }
}

function readWay(kind: (typeof ways)[number], args: Arguments, rule: RouteRuleValue): RouteWay | undefined {
  switch (kind) {
    case 'direct':
    case 'discard':
      return { kind }
    case 'error': {
      if (!args.peekWord() || args.peekWord()?.text === 'else') return { kind, reply: usualReply }
      const reply = ownReply.read(args)
      return reply && { kind, reply }
    }
    case 'relay': {
      const word = args.word('the name of a `relay` section')
      if (!word) return undefined
      rule.relays.push({ name: word.text, at: word })
      return { kind, name: word.text }
    }
    default:
      return kind satisfies never
  }
}
