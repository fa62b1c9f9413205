/**
 * The types of mail: addresses to listen on, TLS use, sockets, mailboxes, next hops, name servers, log files.
 * Each reads one statement's arguments; `types.ts` explains what a type is.
 */
import { isIP } from 'node:net'
import { formatAddress, parseMailbox } from '../smtp/address.ts'
import type { Arguments } from './arguments.ts'
import { table } from './map-values.ts'
import { matchWords } from './match-list.ts'
import { count, path, port, quote, runPath, size, systemName, type Type, toDomain } from './types.ts'
import { bad, formatSize, ok, type Reading } from './units.ts'

const isObject = (value: unknown) => typeof value === 'object' && value !== null

export const zoneName: Type<string> = {
  syntax: '"DOMAIN"',
  read: (args) =>
    args.parse('"DOMAIN"', (text) => {
      if (text === '.') return ok(text)
      const [, wild = '', rest = ''] = /^(\*\.)?(.*)$/s.exec(text) ?? []
      const name = toDomain(rest)
      return name === null ? bad(`\`${text}\` is no domain`, 'a domain, `*.domain` or `.`') : ok(wild + name)
    }),
  valid: (value) => typeof value === 'string',
  print: quote,
}

/** A mailbox here, or any address. */
export const catchAll: Type<string> = {
  syntax: '"ADDRESS"',
  read: (args) =>
    args.parse('"ADDRESS"', (text) => {
      const parsed = parseMailbox(text, { utf8: true, unqualified: true })
      return parsed.ok ? ok(formatAddress(parsed.address)) : bad(`\`${text}\` is no address`)
    }),
  valid: (value) => typeof value === 'string',
  print: quote,
}

/** Host names or addresses of others. */
export const hostPattern: Type<string> = {
  syntax: '"HOST"',
  read: (args) =>
    args.parse('"HOST"', (text) =>
      /^[a-z0-9_*.:-]{1,253}$/i.test(text)
        ? ok(text.toLowerCase())
        : bad(`\`${text}\` is no pattern for hosts`, 'a host name or address; `*` stands for anything'),
    ),
  valid: (value) => typeof value === 'string',
  print: quote,
}

/** An address to bind, or `any` for all of the machine's. */
export const bindAddress: Type<string> = {
  syntax: 'ADDRESS',
  read: (args) => args.parse('ADDRESS', readBindAddress),
  valid: (value) => typeof value === 'string' && (value === 'any' || isIP(value) !== 0),
  print: (value) => value,
}

function readBindAddress(text: string): Reading<string> {
  if (text === '*' || text === 'any') return ok('any')
  if (isIP(text) !== 0 && !text.includes('%')) return ok(text.toLowerCase())
  if (matchWords.includes(text) || toDomain(text) !== null) {
    return bad(`\`${text}\` is no address`, 'an IP address such as `127.0.0.1`, or `any`')
  }
  return bad(`\`${text}\` is no address`, 'for example `127.0.0.1`, `::1` or `any`')
}

/** File permissions, in octal as in chmod. */
const mode: Type<number> = {
  syntax: 'MODE',
  read: (args) =>
    args.parse('MODE', (text) =>
      /^0?[0-7]{3}$/.test(text)
        ? ok(Number.parseInt(text, 8))
        : bad(`\`${text}\` is no mode`, 'three octal digits as for chmod: `0660`'),
    ),
  valid: (value) => typeof value === 'number' && value >= 0 && value <= 0o777,
  print: (value) => `0${value.toString(8)}`,
}

export interface SocketFile {
  path: string
  mode: number
}

export function socketFile(usualMode: number): Type<SocketFile> {
  return {
    syntax: '"PATH" [perm MODE]',
    read: (args) => {
      const file = runPath.read(args)
      if (file === undefined) return undefined
      const perm = args.keyword('perm') ? mode.read(args) : usualMode
      return perm === undefined ? undefined : { path: file, mode: perm }
    },
    valid: isObject,
    print: (value) => `${quote(value.path)} perm ${mode.print(value.mode)}`,
  }
}

export const tlsModes = ['starttls', 'required', 'implicit'] as const
export interface TlsUse {
  /** Of a `tls` section. */
  name: string
  /** Null: as usual for the port. */
  mode: (typeof tlsModes)[number] | null
}

export const tlsUse: Type<TlsUse> = {
  syntax: '"NAME" [starttls | required | implicit]',
  read: (args) => {
    const name = args.word('the name of a `tls` section')
    if (!name) return undefined
    if (!args.peekWord()) return { name: name.text, mode: null }
    const found = args.oneOf(tlsModes)
    return found === undefined ? undefined : { name: name.text, mode: found }
  },
  valid: isObject,
  print: (value) => `${quote(value.name)} ${value.mode ?? ''}`.trim(),
}

export type Mailboxes =
  | { kind: 'system' }
  | { kind: 'file'; path: string }
  /** as: whose files they are. */
  | { kind: 'map'; name: string; as: string | null }

export const mailboxes: Type<Mailboxes> = {
  syntax: 'system | "PATH" | map "NAME" [as "USER"]',
  read: (args) => {
    if (args.keyword('system')) return { kind: 'system' }
    const found = table.read(args)
    if (found?.kind !== 'map') return found
    const as = args.keyword('as') ? systemName.read(args) : null
    return as === undefined ? undefined : { ...found, as }
  },
  valid: isObject,
  print: (value) => {
    if (value.kind === 'system') return 'system'
    return table.print(value) + (value.kind === 'map' && value.as !== null ? ` as ${quote(value.as)}` : '')
  },
}

export interface NextHop {
  /** A name, an address, or the path of a unix socket, which has port 0. */
  host: string
  port: number
  protocol: 'smtp' | 'lmtp'
  /** Neighbours that have one share the mail by it; null: only when those before it fail. */
  weight: number | null
}

const SMTP_PORT = 25
const LMTP_PORT = 24
const weights = count(1, 1000)
/** Of `sockaddr_un`. */
const LONGEST_SOCKET = 107

export const nextHop: Type<NextHop> = {
  syntax: '"HOST" | "/PATH" [port PORT] [smtp | lmtp] [weight NUMBER]',
  read: (args) => {
    const host = args.parse('"HOST"', readHost)
    if (host === undefined) return undefined
    const isSocket = host.startsWith('/')
    const given = !isSocket && args.keyword('port') ? port.read(args) : null
    if (given === undefined) return undefined
    const named = args.peekWord() && args.peekWord()?.text !== 'weight'
    const protocol = named ? args.oneOf(['smtp', 'lmtp']) : isSocket ? 'lmtp' : 'smtp'
    if (protocol === undefined) return undefined
    const weight = args.keyword('weight') ? weights.read(args) : null
    if (weight === undefined) return undefined
    const usual = isSocket ? 0 : protocol === 'lmtp' ? LMTP_PORT : SMTP_PORT
    return { host, port: given ?? usual, protocol, weight }
  },
  valid: isObject,
  print: ({ host, port: number, protocol, weight }) =>
    `${quote(host)}${number === 0 ? '' : ` port ${number}`} ${protocol}${weight === null ? '' : ` weight ${weight}`}`,
}

function readHost(text: string): Reading<string> {
  if (text.startsWith('/')) {
    if (Buffer.byteLength(text) <= LONGEST_SOCKET) return ok(text)
    return bad('this path is too long for a socket', `at most ${LONGEST_SOCKET} octets`)
  }
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text
  if (isIP(bare) !== 0) return ok(bare.toLowerCase())
  const name = toDomain(text)
  if (name !== null) return ok(name)
  const [, host, number] = /^(.+):(\d+)$/.exec(text) ?? []
  if (host !== undefined) return bad(`\`${text}\` is no host`, `write \`"${host}" port ${number}\``)
  return bad(`\`${text}\` is no host`, 'a name in DNS or an IP address')
}

/** As `ADDRESS:PORT`, IPv6 in brackets. */
export const forwarder: Type<string> = {
  syntax: 'ADDRESS [port PORT]',
  read: (args) => {
    const address = args.parse('ADDRESS', (text) =>
      isIP(text) !== 0 ? ok(text) : bad(`\`${text}\` is no IP address`, 'a name server is given by address'),
    )
    if (address === undefined) return undefined
    const number = args.keyword('port') ? port.read(args) : 53
    if (number === undefined) return undefined
    return isIP(address) === 6 ? `[${address}]:${number}` : `${address}:${number}`
  },
  valid: (value) => typeof value === 'string',
  print: (value) => value,
}

/** The same, with ` validating` behind it where that is said. */
export const nameServer: Type<string> = {
  ...forwarder,
  syntax: 'ADDRESS [port PORT] [validating]',
  read: (args) => {
    const place = forwarder.read(args)
    return place !== undefined && args.keyword('validating') ? `${place} validating` : place
  },
}

export interface LogFile {
  path: string
  size: number | null
  versions: number
}

const logSize = size(64 << 10, 2 ** 40)
const logVersions = count(1, 1000)
const USUAL_VERSIONS = 3

/** BIND's: a new file at `size`, so many old ones kept. */
export const logFile: Type<LogFile> = {
  syntax: '"PATH" [size SIZE] [versions NUMBER]',
  read: (args) => {
    const file = path.read(args)
    if (file === undefined) return undefined
    const limit = args.keyword('size') ? logSize.read(args) : null
    if (limit === undefined) return undefined
    const versions = args.keyword('versions') ? logVersions.read(args) : USUAL_VERSIONS
    return versions === undefined ? undefined : { path: file, size: limit, versions }
  },
  valid: isObject,
  print: (value) => `${quote(value.path)}${value.size === null ? '' : ` size ${formatSize(value.size)}`}`,
}

/** `default { "main"; }`: what is logged where. */
export interface Category {
  name: 'default'
  channels: string[]
}

export function category(channelNames: Type<string[]>): Type<Category> {
  return {
    syntax: `default ${channelNames.syntax}`,
    read: (args) => {
      const name = args.oneOf(['default'])
      const channels = name && channelNames.read(args)
      return channels && { name, channels }
    },
    valid: isObject,
    print: (value) => `${value.name} ${channelNames.print(value.channels)}`,
  }
}

/** A reference to a section by its name. */
export const reference: Type<string> = {
  syntax: '"NAME"',
  read: (args) => args.word('"NAME"')?.text,
  valid: (value) => typeof value === 'string',
  print: quote,
}

/** A user by name or number. */
export const userOrUid: Type<string | number> = {
  syntax: '"USER" | UID',
  read: (args: Arguments) => {
    const word = args.peekWord()
    return word && /^\d+$/.test(word.text) ? count(0, 2 ** 32 - 2).read(args) : systemName.read(args)
  },
  valid: (value) => typeof value === 'string' || typeof value === 'number',
  print: (value) => (typeof value === 'number' ? String(value) : quote(value)),
}
