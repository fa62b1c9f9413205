/**
 * Listeners: from their sections to one slice for each endpoint, with what only shows when sections are seen
 * together: TLS sections that do not exist, ports taken twice, relaying for everyone.
 *
 * The first endpoint has the listener's name, which is also the name of its descriptor; further ones are
 * `name#2`, `name#3`. Fails: problems, never exceptions.
 */
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { accessOf } from './access.ts'
import { boundsOf } from './bounds.ts'
import type { Facts } from './facts.ts'
import { filtersOf } from './filters.ts'
import { authOf, tlsOf } from './logins.ts'
import { checkTable } from './maps.ts'
import { flatten, flattenClients, type MatchContext } from './match-list.ts'
import { parseNetwork } from './network.ts'
import { listenerBlock } from './options.ts'
import { patienceOf, tarpitOf } from './patience.ts'
import type { Problems } from './problem.ts'
import { checkNames, checkOnly } from './rules.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import { screeningOf } from './screening.ts'
import {
  type AddressMatchList,
  type ClientMatchList,
  isSubmission,
  type ListenerKind,
  type ListenerSlice,
} from './slices.ts'
import { formatPlace } from './source.ts'

type Listener = Section<typeof listenerBlock>

export interface ListenerContext {
  config: Config
  facts: Facts
  match: MatchContext
  problems: Problems
  runDirectory: string
}

/** Longest path of a unix socket, without the final NUL: sun_path of unix(7). */
export const MAX_SOCKET_PATH = 107

const kindByName: ReadonlyMap<string, ListenerKind> = new Map([
  ['mx', 'mx'],
  ['submission', 'submission'],
  ['submissions', 'submission'],
  ['local', 'local'],
  ['lmtp', 'lmtp'],
])
const kindByPort: ReadonlyMap<number, ListenerKind> = new Map([
  [25, 'mx'],
  [24, 'lmtp'],
  [587, 'submission'],
  [465, 'submission'],
])
const waysIn: Readonly<Record<ListenerKind, readonly ('port' | 'socket')[]>> = {
  mx: ['port'],
  submission: ['port'],
  local: ['socket'],
  lmtp: ['port', 'socket'],
}
const placeHint: Readonly<Record<ListenerKind, string>> = {
  mx: 'port 25',
  submission: 'port 587',
  local: 'socket "submit.sock"',
  // RFC 2033 section 5: not the port of SMTP
  lmtp: 'port 24',
}

export function buildListeners(context: ListenerContext): ListenerSlice[] {
  const { config, problems } = context
  checkNames(config.listener, 'listener', problems)
  const built = config.listener.flatMap((listener) => buildListener(listener, context))
  checkCollisions(built, problems)
  if (!config.meant.has('listener')) problems.warn(config.at, 'there is no listener: nobody can hand in mail')
  return built.map(({ slice }) => slice)
}

interface Built {
  listener: Listener
  slice: ListenerSlice
}

function buildListener(listener: Listener, context: ListenerContext): Built[] {
  const kind = kindOf(listener, context.problems)
  if (kind === null) return []
  checkOnly(listener, listenerBlock, kind, context.problems)
  const relay = relayOf(listener, kind, context)
  const allow = flattenClients(listener.values.allow, context.match)
  const tls = tlsOf(listener, context.config, context.problems)
  const access = accessOf(listener, context.config, context.match)
  const screening = screeningOf(listener, context.config, context.match)
  const auth = kind === 'submission' ? authOf(listener, tls, context.config, context.problems) : null
  checkTable(
    listener.values['sender-login'],
    placeOf(listener, 'sender-login'),
    context.config,
    context.facts,
    context.problems,
  )
  const bounds = boundsOf(listener, context.problems)
  return endpointsOf(listener, kind, context).map((endpoint, index) => ({
    listener,
    slice: {
      name: index === 0 ? listener.name : `${listener.name}#${index + 1}`,
      kind,
      endpoint,
      tls,
      auth,
      senderLogin: listener.values['sender-login'],
      relay,
      allow,
      proxy: trusted(listener, 'proxy', context),
      xclient: trusted(listener, 'xclient', context),
      xforward: flattenClients(listener.values.xforward, context.match),
      vrfy: flattenClients(listener.values.vrfy, context.match),
      expn: flattenClients(listener.values.expn, context.match),
      etrn: flattenClients(listener.values.etrn, context.match),
      clientNames: listener.values['client-names'] ?? 'usual',
      greetingDelay: listener.values['greeting-delay'],
      messageSizeLimit:
        listener.values['message-size-limit'] ?? context.config.options.values['message-size-limit'],
      recipientLimit: listener.values['recipient-limit'],
      sessionLimit: listener.values['session-limit'],
      errorLimit: listener.values['error-limit'],
      commandTimeout: listener.values['command-timeout'],
      patience: patienceOf(listener),
      tarpit: tarpitOf(listener),
      cutThrough: listener.values['cut-through'] === 'yes' ? listener.values['cut-through-deadline'] : 0,
      holdLimit: isSubmission(kind) ? listener.values['hold-limit'] : 0,
      removesArguments: listener.values['t-arguments'] === 'remove',
      userAgents: listener.values['user-agents'] === 'yes',
      screening,
      access,
      filters: filtersOf(listener, context.config, context.problems),
      bareNewline: listener.values['bare-newline'] ?? (kind === 'local' ? 'normalise' : 'refuse'),
      bounds,
      ...authorshipOf(listener, kind),
    },
  }))
}

/** Whose mail it has to be, and what is said of that. */
function authorshipOf({ values }: Listener, kind: ListenerKind) {
  return {
    sign: (values.sign ?? (isSubmission(kind) ? 'yes' : 'no')) === 'yes',
    requireSignature: values['require-signature'] === 'yes',
    authenticate: values.authenticate === 'yes',
    trustedSealers: values['trusted-sealers'],
  }
}

function kindOf(listener: Listener, problems: Problems): ListenerKind | null {
  const { type, port, socket } = listener.values
  if (socket !== null && port !== null) {
    problems.error(
      placeOf(listener, 'port'),
      'a listener has a `port` or a `socket`',
      'make two listeners of it',
    )
    return null
  }
  const wantsSocket = listener.meant.has('socket') && port === null
  const named = kindByName.get(listener.name)
  const bySocket = named === 'lmtp' ? named : 'local'
  const kind = type ?? (wantsSocket ? bySocket : (named ?? kindByPort.get(port ?? -1)))
  if (kind === undefined) {
    problems.error(
      listener.at,
      `what is listener \`${listener.name}\` for?`,
      'add `type mx;` or `type submission;`',
    )
    return null
  }
  const ways = waysIn[kind]
  const given = { socket, port }
  if (ways.some((way) => given[way] !== null)) return kind
  if (ways.some((way) => listener.meant.has(way))) return null
  const hint = `add \`${placeHint[kind]};\``
  problems.error(listener.at, `listener \`${listener.name}\` does not say where it listens`, hint)
  return null
}

function endpointsOf(
  listener: Listener,
  kind: ListenerKind,
  context: ListenerContext,
): ListenerSlice['endpoint'][] {
  const { socket, port, address } = listener.values
  if (socket !== null || kind === 'local') {
    const path = resolve(context.runDirectory, socket?.path ?? '')
    checkSocketPath(path, listener, context.problems)
    return [{ kind: 'unix', path, mode: socket?.mode ?? 0 }]
  }
  const wanted = new Set(address.length === 0 ? ['any'] : address.flat())
  return expandAddresses(wanted, context.facts).map((one) => ({ kind: 'tcp', address: one, port: port ?? 0 }))
}

/** `any` is `::` where the machine speaks IPv6, which takes IPv4 as well; together they are one endpoint. */
export function expandAddresses(wanted: Set<string>, facts: Pick<Facts, 'interfaces'>): string[] {
  const speaks6 = facts.interfaces.some((cidr) => cidr.includes(':'))
  if (wanted.has('any')) return [speaks6 ? '::' : '0.0.0.0']
  if (wanted.has('::')) wanted.delete('0.0.0.0')
  return [...wanted]
}

function checkSocketPath(path: string, listener: Listener, problems: Problems): void {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return
  const message = `the socket's path is longer than ${MAX_SOCKET_PATH} octets: ${path}`
  problems.error(placeOf(listener, 'socket'), message, 'choose a shorter path or `run-directory`')
}

function relayOf(listener: Listener, kind: ListenerKind, context: ListenerContext): ClientMatchList {
  const { relay } = listener.values
  if (relay === null) return [{ negated: kind !== 'local', network: 'any' }]
  const list = flattenClients(relay, context.match)
  if (kind !== 'local' && hasVast(list)) {
    const message = `listener \`${listener.name}\` would relay for everyone: an open relay`
    context.problems.error(
      placeOf(listener, 'relay'),
      message,
      'name the networks that may relay, such as `localnets`',
    )
  }
  return list
}

/** Who is in this list can pass for any client there is. */
function trusted(
  listener: Listener,
  option: 'proxy' | 'xclient',
  context: ListenerContext,
): AddressMatchList {
  const list = flatten(listener.values[option], context.match)
  if (hasVast(list))
    context.problems.error(
      placeOf(listener, option),
      `listener \`${listener.name}\` would let anyone pass for any client`,
      'name the addresses of your own proxies',
    )
  return list
}

function hasVast(list: ClientMatchList): boolean {
  return list.some((one) => {
    if (one.negated) return false
    if ('list' in one) return hasVast(one.list)
    return 'name' in one ? VAST_NAME.test(one.name) : isVast(one.network)
  })
}

/** No one owns a whole top-level domain. */
const VAST_NAME = /^[^.]*\*[^.]*(?:\.[^.]*)?$/

/** No one owns a network of this size. */
function isVast(text: string): boolean {
  const network = parseNetwork(text)
  if (!network) return text === 'any'
  return network.prefix < (network.family === 4 ? 8 : 16)
}

function checkCollisions(built: readonly Built[], problems: Problems): void {
  const groups = new Map<string | number, Built[]>()
  for (const one of built) {
    const { endpoint } = one.slice
    const place = endpoint.kind === 'tcp' ? endpoint.port : endpoint.path
    if (place === 0) continue
    const group = groups.get(place) ?? []
    const other = group.find((before) => collides(before.slice, one.slice))
    if (other) reportCollision(one, other, problems)
    groups.set(place, [...group, one])
  }
}

function reportCollision({ listener, slice }: Built, other: Built, problems: Problems): void {
  const option = slice.endpoint.kind === 'unix' ? 'socket' : 'port'
  const what = slice.endpoint.kind === 'unix' ? slice.endpoint.path : `port ${slice.endpoint.port}`
  const place = placeOf(other.listener, option)
  problems.error(
    placeOf(listener, option),
    `${what} is taken by listener \`${other.listener.name}\``,
    `see ${formatPlace(place)}`,
  )
}

type Placed = Pick<ListenerSlice, 'endpoint'>

/** Of the same port or path. */
export function collides({ endpoint: one }: Placed, { endpoint: other }: Placed): boolean {
  if (one.kind === 'unix' || other.kind === 'unix') return true // they share the path
  return (
    one.address === other.address ||
    takesAll(one.address, other.address) ||
    takesAll(other.address, one.address)
  )
}

function takesAll(wild: string, address: string): boolean {
  return wild === '::' || (wild === '0.0.0.0' && isIP(address) === 4)
}
