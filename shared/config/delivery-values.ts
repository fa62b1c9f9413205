/**
 * Where mail of a local zone goes: `maildir "~/Maildir" folders quota 1G`, `mbox "/var/mail/%u"`, `file`, `pipe`, `lmtp`.
 *
 * Paths begin with `~/`, the home of each user, or at `/` with the user's name in them. In paths and in the arguments of
 * a command `%u` is the name of the user, `%d` the domain, `%e` what stands behind the delimiter, `%h` the home; the
 * resolver puts them in, escaped. A text for the shell has none of them: there they are variables, which a shell does
 * not read as commands.
 */
import { isIP } from 'node:net'
import type { Command, Encryption, Quota } from '../message/route.ts'
import type { Arguments } from './arguments.ts'
import { printEncryption, readEncryption } from './encryption-values.ts'
import { count, port, quote, size, type Type, toDomain } from './types.ts'
import { bad, formatSize, ok, type Reading } from './units.ts'

export interface MaildirDelivery {
  kind: 'maildir'
  path: string
  /** Null: as it came. */
  encryption: Encryption | null
  /** `+detail` goes to the folder of that name, where there is one. */
  folders: boolean
  quota: Quota | null
}

export type OtherDelivery =
  | { kind: 'mbox' | 'file'; path: string }
  | { kind: 'pipe'; command: Pick<Command, 'words' | 'shell' | 'fromLine'> }
  /** port 0: `host` is the path of a socket. */
  | { kind: 'lmtp'; host: string; port: number }

export type Delivery = MaildirDelivery | OtherDelivery

/** For the manual, and read in this order. */
const kinds = ['maildir', 'mbox', 'file', 'pipe', 'lmtp'] as const
const MOST_WORDS = 100
const LMTP_PORT = 24
const quotaSize = size(1, 2 ** 50)
const quotaMessages = count(1, 1_000_000_000)

/** What the resolver replaces. */
export const DELIVERY_PLACEHOLDER = /%[udeh]/g
const UNKNOWN_PLACEHOLDER = /%(?![udeh]).?/

export const delivery: Type<Delivery> = {
  syntax:
    'maildir "PATH" [folders] [quota SIZE [messages NUMBER]] [encrypt-to [openpgp] "KEY" … [show-header]] | mbox "PATH" | file "PATH" | pipe [from-line] [shell yes] "COMMAND" … | lmtp "HOST" [port PORT] | lmtp "/SOCKET"',
  read: (args) => {
    const kind = args.oneOf(kinds)
    switch (kind) {
      case undefined:
        return undefined
      case 'maildir':
        return readMaildir(args)
      case 'mbox':
      case 'file': {
        const path = args.parse('"PATH"', kind === 'mbox' ? readPath : readFilePath)
        return path === undefined ? undefined : { kind, path }
      }
      case 'pipe':
        return readPipe(args)
      case 'lmtp':
        return readLmtp(args)
    }
  },
  valid: (value) => typeof value === 'object' && value !== null,
  print: (value) => `${value.kind} ${printRest(value)}`,
}

function printRest(value: Delivery): string {
  switch (value.kind) {
    case 'maildir':
      return printMaildir(value)
    case 'mbox':
    case 'file':
      return quote(value.path)
    case 'pipe': {
      const { words, shell, fromLine } = value.command
      return `${fromLine ? 'from-line ' : ''}${shell ? 'shell yes ' : ''}${words.map(quote).join(' ')}`
    }
    case 'lmtp':
      return `${quote(value.host)}${value.port === 0 ? '' : ` port ${value.port}`}`
  }
}

function printMaildir({ path, folders, quota, encryption }: MaildirDelivery): string {
  const words = [quote(path), ...(folders ? ['folders'] : [])]
  if (quota) words.push(`quota ${formatSize(quota.octets)}`)
  if (quota && quota.messages > 0) words.push(`messages ${quota.messages}`)
  return [...words, ...(encryption ? [`encrypt-to ${printEncryption(encryption)}`] : [])].join(' ')
}

function readMaildir(args: Arguments): Delivery | undefined {
  const path = args.parse('"PATH"', readPath)
  if (path === undefined) return undefined
  const folders = args.keyword('folders') !== null
  const quota = args.keyword('quota') ? readQuota(args) : null
  if (quota === undefined) return undefined
  if (!args.peekWord()) return { kind: 'maildir', path, encryption: null, folders, quota }
  if (args.oneOf(['encrypt-to']) === undefined) return undefined
  const encryption = readEncryption(args)
  return encryption && { kind: 'maildir', path, encryption, folders, quota }
}

function readQuota(args: Arguments): Quota | undefined {
  const octets = quotaSize.read(args)
  if (octets === undefined) return undefined
  const messages = args.keyword('messages') ? quotaMessages.read(args) : 0
  return messages === undefined ? undefined : { octets, messages }
}

function readPipe(args: Arguments): Delivery | undefined {
  const fromLine = args.keyword('from-line') !== null
  const shell = args.keyword('shell') ? args.oneOf(['yes', 'no']) : 'no'
  if (shell === undefined) return undefined
  const words: string[] = []
  do {
    const at = args.peek() ?? args.last
    const read = shell === 'yes' ? readShellText : words.length === 0 ? readProgram : readArgument
    const word = args.parse('"COMMAND"', read)
    if (word === undefined) return undefined
    if (words.length >= MOST_WORDS) return args.fail(at, `more than ${MOST_WORDS} arguments`)
    words.push(word)
  } while (shell === 'no' && args.peekWord())
  return { kind: 'pipe', command: { words, shell: shell === 'yes', fromLine } }
}

function readLmtp(args: Arguments): Delivery | undefined {
  const host = args.parse('"HOST"', readLmtpHost)
  if (host === undefined) return undefined
  if (host.startsWith('/')) return { kind: 'lmtp', host, port: 0 }
  const given = args.keyword('port') ? port.read(args) : LMTP_PORT
  return given === undefined ? undefined : { kind: 'lmtp', host, port: given }
}

function readLmtpHost(text: string): Reading<string> {
  if (text.startsWith('/'))
    return text.length > 107 ? bad('a path of a socket has at most 107 octets') : ok(text)
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text
  const name = isIP(bare) === 0 ? toDomain(text) : bare.toLowerCase()
  return name === null
    ? bad(`\`${text}\` is no host`, 'a name, an IP address, or a socket: `/run/dovecot/lmtp`')
    : ok(name)
}

/** A mailbox, of which each user has one. */
function readPath(text: string): Reading<string> {
  const parts = text.split('/')
  if (parts.includes('..') || parts.includes('.'))
    return bad('`.` and `..` do not belong in the path of a mailbox')
  if (UNKNOWN_PLACEHOLDER.test(text)) return unknownPlaceholder(text)
  if (/^(?:~|%h)\/[^/]/.test(text)) return ok(text.replace(/^%h/, '~'))
  if (text.includes('%h')) return bad('`%h` is the beginning of a path')
  if (text.startsWith('~')) return bad(`\`${text}\` names no folder`, 'for example `~/Maildir`')
  if (text.startsWith('/') && text.includes('%u')) return ok(text)
  if (text.startsWith('/'))
    return bad(
      'one mailbox for all users',
      'begin it with `~/`, the home of each user, or put `%u` in it, the name',
    )
  return bad(`\`${text}\` is relative to nothing`, `write \`~/${text}\``)
}

function readFilePath(text: string): Reading<string> {
  return text === '/dev/null' ? ok(text) : readPath(text)
}

function readProgram(text: string): Reading<string> {
  if (/^\/[^%]+$/.test(text)) return ok(text)
  return bad(
    `\`${text}\` is no program`,
    text.includes(' ')
      ? 'program and arguments are words of their own: `"/usr/bin/program" "argument"`, or write `shell yes`'
      : 'give its path from `/`, without `%`',
  )
}

function readArgument(text: string): Reading<string> {
  return UNKNOWN_PLACEHOLDER.test(text) ? unknownPlaceholder(text) : ok(text)
}

function readShellText(text: string): Reading<string> {
  if (text.trim() === '') return bad('an empty command')
  if (/%[udeh]/.test(text))
    return bad('a shell would read names as commands', 'write "$USER", "$DOMAIN", "$EXTENSION" or "$HOME"')
  return ok(text)
}

function unknownPlaceholder(text: string): Reading<string> {
  return bad(`\`${text}\` has a \`%\` that means nothing`, '`%u`, `%d`, `%e` and `%h` are replaced')
}
