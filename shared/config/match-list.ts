/**
 * Address match lists: how they are written, and what they come to once every named list is known.
 *
 *     { trusted; !192.0.2.66; 192.0.2.0/24; localhost; name "*.example.org"; { nested; lists; }; }
 *
 * The words are BIND's: any, none, localhost (the machine's own addresses), localnets (the networks it is on), and
 * `local` for callers on the unix socket. The first element that matches decides. Interfaces are looked at when
 * the config is read. `name` is what DNS calls a client (forward-confirmed); not every list can wait for that.
 * Problems: unknown or circular names, networks with bits behind the prefix, names of clients where none can stand.
 */
import { Arguments } from './arguments.ts'
import {
  covers,
  everything,
  formatNetwork,
  masked,
  type Network,
  parseNetwork,
  positives,
  type SignedNetwork,
  unixSocket,
} from './network.ts'
import type { Problems } from './problem.ts'
import type { AddressMatchList, ClientMatch, ClientMatchList } from './slices.ts'
import type { Span } from './source.ts'
import { suggestion } from './suggest.ts'
import type { Item, Statement, Word } from './tree.ts'
import type { Type } from './types.ts'
import { bad, ok, type Reading } from './units.ts'

const words = ['any', 'none', 'localhost', 'localnets', 'local'] as const
export const matchWords: readonly string[] = words

type What =
  | { kind: (typeof words)[number] }
  | { kind: 'network'; network: Network }
  | { kind: 'name'; name: string }
  | { kind: 'client'; pattern: string }
  | { kind: 'list'; elements: MatchElement[] }

export interface MatchElement {
  negated: boolean
  at: Span
  what: What
}

const SYNTAX = '{ [!]MATCH; … }'

export const matchList: Type<MatchElement[]> = {
  syntax: SYNTAX,
  read: (args) => {
    const block = args.block(SYNTAX)
    if (!block) return undefined
    return readElements(block.statements, args.problems)
  },
  valid: (value) => Array.isArray(value),
  print: (elements) => `{ ${elements.map((element) => `${printElement(element)}; `).join('')}}`,
}

function printElement({ negated, what }: MatchElement): string {
  return (negated ? '!' : '') + printWhat(what)
}

function printWhat(what: What): string {
  if (what.kind === 'client') return `name "${what.pattern}"`
  return what.kind === 'network' ? formatNetwork(what.network) : what.kind
}

/** For defaults in the option table. */
export function allOf(kind: (typeof words)[number]): MatchElement[] {
  return [
    {
      negated: false,
      at: { source: { name: '', directory: '/', text: '' }, start: 0, end: 0 },
      what: { kind },
    },
  ]
}

function readElement(items: readonly Item[], problems: Problems): MatchElement | undefined {
  const args = new Arguments(items, 0, new Set(), problems)
  const first = args.peek()
  const negated = first?.kind === 'not'
  if (negated) args.take()
  const item = args.peek()
  if (!item || item.kind === 'not')
    return args.fail(item ?? args.last, 'expected an address, a network or the name of an acl')
  args.take()
  const what = item.kind === 'block' ? readNested(item.statements, problems) : readWord(item, args)
  if (!what) return undefined
  args.refuseRest()
  return { negated, at: item, what }
}

function readNested(statements: readonly Statement[], problems: Problems): What {
  return { kind: 'list', elements: readElements(statements, problems) }
}

function readElements(statements: readonly Statement[], problems: Problems): MatchElement[] {
  const elements = statements.flatMap(({ items }) => readElement(items, problems) ?? [])
  if (elements.length <= MAX_COMPARED) warnOfShadowed(elements, problems)
  return elements
}

/** A list as long as this was written by a program. */
const MAX_COMPARED = 500

/** BIND's first match surprises who writes the exception behind the rule. */
function warnOfShadowed(elements: readonly MatchElement[], problems: Problems): void {
  elements.forEach(({ at, negated, what }, index) => {
    if (what.kind !== 'network') return
    const { network } = what
    const shadow = elements.slice(0, index).find((before) => {
      return (
        before.negated !== negated && before.what.kind === 'network' && covers(before.what.network, network)
      )
    })
    if (!shadow) return
    const message = `\`${printElement({ at, negated, what })}\` never decides: \`${printElement(shadow)}\` comes first`
    problems.warn(at, message, 'the first element that matches decides; put the exception before the rule')
  })
}

function readWord(word: Word, args: Arguments): What | undefined {
  const known = words.find((one) => one === word.text)
  if (known && !word.quoted) return { kind: known }
  if (word.text === 'name' && !word.quoted && args.peekWord()) {
    const pattern = args.parse('"PATTERN"', readNamePattern)
    return pattern === undefined ? undefined : { kind: 'client', pattern }
  }
  if (!/^[\d.]+$|[:/]/.test(word.text)) return { kind: 'name', name: word.text }
  const network = parseNetwork(word.text)
  if (!network) return args.fail(word, `\`${word.text}\` is no address or network`, networkHint(word.text))
  const clean = masked(network)
  if (clean.bits === network.bits) return { kind: 'network', network }
  return args.fail(
    word,
    `\`${word.text}\` has bits set behind its prefix`,
    `write \`${formatNetwork(clean)}\`, or \`${word.text.split('/')[0]}\` for the one address`,
  )
}

function networkHint(text: string): string {
  const [, short, length] = /^(\d{1,3}(?:\.\d{1,3}){0,2})\.?(\/\d+)?$/.exec(text) ?? []
  if (short === undefined) return 'for example `192.0.2.0/24` or `2001:db8::/32`'
  const parts = short.split('.')
  const filled = [...parts, '0', '0', '0'].slice(0, 4).join('.')
  return `write all four parts: \`${filled}${length ?? `/${parts.length * 8}`}\``
}

/** Of names of hosts, in lower case; `*` stands for any run of characters. */
export function readNamePattern(text: string): Reading<string> {
  return /^[\w.:*[\]-]{1,255}$/.test(text)
    ? ok(text.toLowerCase())
    : bad(`\`${text}\` is no pattern for names`, 'such as `"*.example.org"`; `*` stands for anything')
}

/** The named lists of a config. */
export type NamedLists = ReadonlyMap<string, MatchElement[]>

export interface MatchContext {
  lists: NamedLists
  interfaces: readonly string[]
  problems: Problems
}

/** Flat, as the slices want it, for lists that go by addresses alone. */
export function flatten(elements: readonly MatchElement[], context: MatchContext): AddressMatchList {
  return elements.flatMap((element) => flat(element, context))
}

function flat(element: MatchElement, context: MatchContext): AddressMatchList {
  const { negated, what } = element
  if (what.kind === 'any') return [{ negated, network: 'any' }]
  if (what.kind === 'none') return [{ negated: !negated, network: 'any' }]
  return networksOf(element, context, []).map((network) => ({ negated, network: formatNetwork(network) }))
}

/** The same with names of clients: only what has some stays nested. */
export function flattenClients(
  elements: readonly MatchElement[],
  context: MatchContext,
  path: readonly string[] = [],
): ClientMatchList {
  return elements.flatMap((element): ClientMatch[] => {
    const { negated, what } = element
    if (what.kind === 'client') return [{ negated, name: what.pattern }]
    const inside = insideOf(what, context, path)
    if (!inside || !namesClients(inside.elements, context, inside.path)) return flat(element, context)
    return [{ negated, list: flattenClients(inside.elements, context, inside.path) }]
  })
}

type Inside = { elements: readonly MatchElement[]; path: readonly string[] }

/** @param path acls that are being looked into; what contains itself has no inside. */
function insideOf(what: What, { lists }: MatchContext, path: readonly string[]): Inside | null {
  if (what.kind === 'list') return { elements: what.elements, path }
  const elements = what.kind === 'name' && !path.includes(what.name) ? lists.get(what.name) : undefined
  return what.kind === 'name' && elements ? { elements, path: [...path, what.name] } : null
}

function namesClients(
  elements: readonly MatchElement[],
  context: MatchContext,
  path: readonly string[],
): boolean {
  return elements.some(({ what }) => {
    const inside = insideOf(what, context, path)
    return what.kind === 'client' || (inside !== null && namesClients(inside.elements, context, inside.path))
  })
}

function signed(
  elements: readonly MatchElement[],
  context: MatchContext,
  path: readonly string[],
): SignedNetwork[] {
  return elements.flatMap((element) => {
    const { negated, what } = element
    if (what.kind === 'none') return everything.map((network) => ({ negated: !negated, network }))
    const networks = networksOf(element, context, path)
    return networks.map((network) => ({ negated, network }))
  })
}

function networksOf(
  { at, what }: MatchElement,
  context: MatchContext,
  path: readonly string[],
): readonly Network[] {
  switch (what.kind) {
    case 'any':
    case 'none':
      return everything
    case 'local':
      return [unixSocket]
    case 'network':
      return [what.network]
    case 'localhost':
      return [...loopback, ...context.interfaces.flatMap((cidr) => toHost(cidr))]
    case 'localnets':
      return [...loopback, ...context.interfaces.flatMap((cidr) => toNetwork(cidr))]
    case 'list':
      return yeses(signed(what.elements, context, path))
    case 'name':
      return named(what.name, at, context, path)
    case 'client': {
      const hint =
        'names can stand in `allow`, `relay` and the like of a listener, and in `access` rules, and acls with names there too'
      context.problems.error(at, 'this list goes by addresses alone', hint)
      return []
    }
  }
}

function named(name: string, at: Span, context: MatchContext, path: readonly string[]): readonly Network[] {
  const list = context.lists.get(name)
  if (!list) {
    const hint = suggestion(name, [...context.lists.keys(), ...words])
    context.problems.error(at, `there is no acl \`${name}\``, hint)
    return []
  }
  if (path.includes(name)) {
    context.problems.error(at, `acl \`${name}\` contains itself`, `by way of ${[...path, name].join(' -> ')}`)
    return []
  }
  return yeses(signed(list, context, [...path, name]))
}

function yeses(list: SignedNetwork[]): Network[] {
  return list.some(({ negated }) => negated) ? positives(list) : list.map(({ network }) => network)
}

const loopback = ['127.0.0.0/8', '::1/128'].flatMap((text) => toNetwork(text))

function toHost(cidr: string): Network[] {
  const network = parseNetwork(cidr.split('/')[0] ?? '')
  return network ? [network] : []
}

function toNetwork(cidr: string): Network[] {
  const network = parseNetwork(cidr)
  return network ? [masked(network)] : []
}
