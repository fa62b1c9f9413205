/**
 * The types of an account's options: addresses and patterns, a host with its port, where a secret is kept, when to
 * ask. Each reads one statement's arguments; `shared/config/types.ts` explains what a type is.
 */
import { isIP } from 'node:net'
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import type { Arguments } from '../../shared/config/arguments.ts'
import { oneOf, port, quote, type Type, toDomain } from '../../shared/config/types.ts'
import { bad, ok, type Reading } from '../../shared/config/units.ts'
import { readPattern } from './patterns.ts'

const isText = (value: unknown) => typeof value === 'string'
const isObject = (value: unknown) => typeof value === 'object' && value !== null

function text(syntax: string, parse: (text: string) => Reading<string>): Type<string> {
  return { syntax, read: (args) => args.parse(syntax, parse), valid: isText, print: quote }
}

/** `*@example.com`, `ann@example.com`, `ann+*@example.com`: `*` is any text. */
export const addressPattern: Type<string> = text('"PATTERN"', readPattern)

export const mailAddress: Type<string> = text('"ADDRESS"', (written) =>
  /^[^\s@<>*]+@[^\s@<>*]+$/.test(written)
    ? ok(written)
    : bad(`\`${written}\` is no address`, 'for example `"ann@example.com"`'),
)

/** A command line for the shell. */
export const commandLine: Type<string> = text('"COMMAND"', (written) =>
  written.trim() === '' ? bad('an empty command') : ok(written),
)

export const plainText: Type<string> = text('"TEXT"', (written) =>
  written === '' || /\p{Cc}/u.test(written) ? bad('expected some text in one line') : ok(written),
)

/** Relative to the file that names it; `~/` is the user's home. */
export const homePath: Type<string> = {
  syntax: '"PATH"',
  read: (args) =>
    args.parse('"PATH"', (written, word) => {
      if (written === '') return bad('an empty path')
      if (written.startsWith('~/')) return ok(resolve(homedir(), written.slice(2)))
      return ok(resolve(word.source.directory, written))
    }),
  valid: isText,
  print: quote,
}

export interface HostPort {
  host: string
  /** Null: the usual one. */
  port: number | null
}

export const hostPort: Type<HostPort> = {
  syntax: '"HOST" [port PORT]',
  read: (args) => {
    const host = args.parse('"HOST"', readHost)
    const given = args.keyword('port') ? port.read(args) : null
    return host === undefined || given === undefined ? undefined : { host, port: given }
  },
  valid: isObject,
  print: (value) => `${quote(value.host)}${value.port === null ? '' : ` port ${value.port}`}`,
}

function readHost(written: string): Reading<string> {
  const bare = /^\[(.*)\]$/.exec(written)?.[1] ?? written
  if (isIP(bare) !== 0) return ok(bare)
  const name = toDomain(written)
  if (name !== null) return ok(name)
  const [, host, number] = /^(.+):(\d+)$/.exec(written) ?? []
  const hint = host === undefined ? 'a name in DNS or an IP address' : `write \`"${host}" port ${number}\``
  return bad(`\`${written}\` is no host`, hint)
}

/** SHA-256 of a certificate, as `openssl x509 -fingerprint -sha256` prints it. */
export const fingerprint: Type<string> = text('"SHA256"', (written) => {
  const hex = written.replaceAll(':', '').toLowerCase()
  return /^[0-9a-f]{64}$/.test(hex)
    ? ok(hex)
    : bad('this is no SHA-256 fingerprint', '32 octets in hexadecimal, with or without colons')
})

/** In the order of preference. */
export const mechanisms = [
  'scram-sha-256-plus',
  'scram-sha-256',
  'oauthbearer',
  'xoauth2',
  'plain',
  'login',
] as const
export type Mechanism = (typeof mechanisms)[number]

export interface AuthUse {
  user: string
  /** Empty: what the server offers and the secret fits. */
  mechanisms: Mechanism[]
}

export const authUse: Type<AuthUse> = {
  syntax: `user "NAME" [MECHANISM …]`,
  read: (args) => {
    if (!args.keyword('user')) return args.fail(args.peek() ?? args.last, 'expected `user "NAME"`')
    const user = plainText.read(args)
    const wanted = readMechanisms(args)
    return user === undefined || wanted === undefined ? undefined : { user, mechanisms: wanted }
  },
  valid: isObject,
  print: (value) => [`user ${quote(value.user)}`, ...value.mechanisms].join(' '),
}

function readMechanisms(args: Arguments): Mechanism[] | undefined {
  const wanted: Mechanism[] = []
  while (args.peekWord()) {
    const one = args.oneOf(mechanisms)
    if (one === undefined) return undefined
    wanted.push(one)
  }
  return wanted
}

/** Where a password comes from. */
export type Secret =
  | { kind: 'command'; line: string }
  | { kind: 'secret-tool'; attributes: string[] }
  | { kind: 'pass'; entry: string }
  | { kind: 'age'; file: string; identity: string | null }
  | { kind: 'netrc'; file: string }

const stores = oneOf('secret-tool', 'pass', 'age', 'netrc')

export const secretStore: Type<Secret> = {
  syntax: 'secret-tool "ATTRIBUTE" "VALUE" … | pass "ENTRY" | age "FILE" [identity "FILE"] | netrc ["FILE"]',
  read: (args) => {
    const store = stores.read(args)
    switch (store) {
      case undefined:
        return undefined
      case 'secret-tool':
        return readAttributes(args)
      case 'pass': {
        const entry = plainText.read(args)
        return entry === undefined ? undefined : { kind: 'pass', entry }
      }
      case 'age':
        return readAge(args)
      case 'netrc': {
        const file = args.peekWord() ? homePath.read(args) : resolve(homedir(), '.netrc')
        return file === undefined ? undefined : { kind: 'netrc', file }
      }
    }
  },
  valid: isObject,
  print: (value) => value.kind,
}

function readAttributes(args: Arguments): Secret | undefined {
  const attributes: string[] = []
  while (args.peekWord()) {
    const one = plainText.read(args)
    if (one === undefined) return undefined
    attributes.push(one)
  }
  if (attributes.length > 0 && attributes.length % 2 === 0) return { kind: 'secret-tool', attributes }
  return args.fail(args.last, 'attributes and values come in pairs', 'as in `secret-tool lookup`')
}

function readAge(args: Arguments): Secret | undefined {
  const file = homePath.read(args)
  const identity = args.keyword('identity') ? homePath.read(args) : null
  return file === undefined || identity === undefined ? undefined : { kind: 'age', file, identity }
}

export interface Confirm {
  when: 'always' | 'first' | 'never'
  /** Asks instead of the terminal; null: the agent's terminal, and where it has none mail is held. */
  command: string | null
}

export const confirm: Type<Confirm> = {
  syntax: 'always | first | never | command ["COMMAND"]',
  read: (args) => {
    const when = args.oneOf(['always', 'first', 'never', 'command'])
    if (when === undefined) return undefined
    const command =
      when === 'command' || (when !== 'never' && args.peekWord()) ? commandLine.read(args) : null
    if (command === undefined) return undefined
    return { when: when === 'command' ? 'always' : when, command }
  },
  valid: isObject,
  print: (value) => [value.when, ...(value.command === null ? [] : [quote(value.command)])].join(' '),
}
