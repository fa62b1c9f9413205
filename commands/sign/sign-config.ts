/**
 * signmail's configuration, in the language of posthorn.conf: whose mail is signed with which keys and sent by which
 * way. Problems come all at once, each with its place and a hint.
 *
 *     sender "example.org" {
 *         key "s2026" command "pass" "show" "dkim/example.org";
 *         send smtp-command "ssh" "mail.example.org" "sendmail" "-bs";
 *     };
 *
 * Next: `sign-and-send.ts`.
 */
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import type { Arguments } from '../../shared/config/arguments.ts'
import { block, many, needed, one, type ValuesOfBlock } from '../../shared/config/blocks.ts'
import { readFiles, readText } from '../../shared/config/include.ts'
import { Problems, printProblems } from '../../shared/config/problem.ts'
import { type BlockType, type RawSection, readSection, section } from '../../shared/config/section.ts'
import { braced, fullDomain, oneOf, quote, series, type Type } from '../../shared/config/types.ts'
import { bad, day, formatDuration, hour, minute, ok, parseDuration } from '../../shared/config/units.ts'

export interface KeySource {
  selector: string
  /** The program and its words, which print the key; or the file that has it. */
  from: { kind: 'command'; words: string[] } | { kind: 'file'; path: string }
}

export type SendWay =
  /** Speaks SMTP on its standard input and output. */
  | { kind: 'smtp-command'; words: string[] }
  /** Takes the message on standard input and recipients as further words, like sendmail. */
  | { kind: 'command'; words: string[] }
  /** A unix socket that speaks SMTP, forwarded by ssh or a server's own. */
  | { kind: 'socket'; path: string }

/** keep: as it is; utc: in UTC, in steps of so many milliseconds. */
export type DateRule = { kind: 'keep' } | { kind: 'utc'; step: number }

const SELECTOR = /^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?)*$/i
const MOST_WORDS = 50
const isObject = (value: unknown) => typeof value === 'object' && value !== null

const word: Type<string> = {
  syntax: '"WORD"',
  read: (args) => args.word('"WORD"')?.text,
  valid: (value) => typeof value === 'string',
  print: quote,
}
const words = series(word, MOST_WORDS)

/** The user's own file: `~/` is the home, anything else is relative to the config file. */
const userPath: Type<string> = {
  syntax: '"PATH"',
  read: (args) =>
    args.parse('"PATH"', (text, at) => {
      if (text === '') return bad('an empty path')
      if (text.startsWith('~/')) return ok(resolve(homedir(), text.slice(2)))
      return text.startsWith('~') ? bad('the home of somebody else') : ok(resolve(at.source.directory, text))
    }),
  valid: (value) => typeof value === 'string',
  print: quote,
}

const keySource: Type<KeySource> = {
  syntax: '"SELECTOR" command "WORD" … | "SELECTOR" file "PATH"',
  read: (args) => {
    const selector = args.parse('"SELECTOR"', (text) =>
      SELECTOR.test(text) ? ok(text.toLowerCase()) : bad(`\`${text}\` is no selector`, 'a name in DNS'),
    )
    const kind = selector === undefined ? undefined : args.oneOf(['command', 'file'])
    if (selector === undefined || kind === undefined) return undefined
    if (kind === 'file') {
      const path = userPath.read(args)
      return path === undefined ? undefined : { selector, from: { kind, path } }
    }
    const found = words.read(args)
    return found && { selector, from: { kind, words: found } }
  },
  valid: isObject,
  print: ({ selector, from }) =>
    `${quote(selector)} ${from.kind} ${from.kind === 'file' ? quote(from.path) : words.print(from.words)}`,
}

const sendWay: Type<SendWay> = {
  syntax: 'smtp-command "WORD" … | command "WORD" … | socket "PATH"',
  read: (args) => {
    const kind = args.oneOf(['smtp-command', 'command', 'socket'])
    if (kind === undefined) return undefined
    if (kind === 'socket') {
      const path = userPath.read(args)
      return path === undefined ? undefined : { kind, path }
    }
    const found = words.read(args)
    return found && { kind, words: found }
  },
  valid: isObject,
  print: (way) => `${way.kind} ${way.kind === 'socket' ? quote(way.path) : words.print(way.words)}`,
}

const dateRule: Type<DateRule> = {
  syntax: 'keep | utc [DURATION]',
  read: (args: Arguments) => {
    const kind = args.oneOf(['keep', 'utc'])
    if (kind === undefined) return undefined
    if (kind === 'keep') return { kind }
    const step = args.peekWord() ? args.parse('DURATION', parseStep) : 1000
    return step === undefined ? undefined : { kind, step }
  },
  valid: isObject,
  print: (rule) => (rule.kind === 'keep' ? 'keep' : `utc ${formatDuration(rule.step)}`),
}

function parseStep(text: string): ReturnType<typeof parseDuration> {
  const read = parseDuration(text)
  if (read.kind === 'bad' || (read.value >= 1000 && read.value <= day)) return read
  return bad(`\`${text}\` is out of range`, `1s to ${formatDuration(day)}`)
}

const fieldName: Type<string> = {
  syntax: '"FIELD"',
  read: (args) =>
    args.parse('"FIELD"', (text) =>
      /^[!-9;-~]+$/.test(text) ? ok(text.toLowerCase()) : bad(`\`${text}\` is no name of a header field`),
    ),
  valid: (value) => typeof value === 'string',
  print: quote,
}

const lifetime: Type<number> = {
  syntax: 'never | DURATION',
  read: (args) => {
    if (args.keyword('never')) return 0
    return args.parse('DURATION', (text) => {
      const read = parseDuration(text)
      if (read.kind === 'bad' || read.value >= hour) return read
      return bad(`\`${text}\` is too short`, 'mail may be hours on its way')
    })
  },
  valid: (value) => typeof value === 'number',
  print: (value) => (value === 0 ? 'never' : formatDuration(value)),
}

const readers = ['check'] as const

export const senderBlock = block('sender', fullDomain, 'Whose mail this is, by the domain of its sender.', {
  key: many(keySource, { doc: 'A key, RSA or Ed25519, PEM; each makes a signature.', readers }),
  send: needed(sendWay, { doc: 'How the signed message leaves.', readers }),
  date: one<DateRule>(dateRule, { kind: 'keep' }, { doc: 'What becomes of Date.', readers }),
  'message-id': one(oneOf('fresh', 'keep'), 'fresh', { doc: 'What becomes of Message-ID.', readers }),
  remove: one(braced(fieldName, 100), [], { doc: 'Header fields to remove, beside the usual.', readers }),
  'signature-lifetime': one(lifetime, 7 * day, { doc: 'After that the signature is of no use.', readers }),
  timeout: one(
    {
      syntax: 'DURATION',
      read: (args: Arguments) => args.parse('DURATION', parseDuration),
      valid: (value: unknown) => typeof value === 'number',
      print: formatDuration,
    },
    5 * minute,
    { doc: 'For each answer of the other side, and for a key.', readers },
  ),
})

const file = {
  name: '',
  title: null,
  doc: '',
  homeOf: senderBlock.homeOf,
  options: { sender: many(section(senderBlock), { doc: '', readers }) },
} as const satisfies BlockType

export type SenderConfig = Omit<ValuesOfBlock<typeof senderBlock>, 'send'> & { domain: string; send: SendWay }

export type SignConfig = { kind: 'good'; senders: SenderConfig[] } | { kind: 'bad'; problems: string }

const sectionWords = new Set(Object.keys(file.options))

export function readSignConfig(path: string): SignConfig {
  const problems = new Problems()
  return build(readFiles(path, sectionWords, problems), problems)
}

export function readSignText(text: string, name = 'sign.conf'): SignConfig {
  const problems = new Problems()
  return build(readText({ name, directory: '/', text }, sectionWords, problems), problems)
}

function build({ statements, source }: ReturnType<typeof readFiles>, problems: Problems): SignConfig {
  const at = { source, start: 0, end: 1 }
  const root = readSection(file, statements, '', at, problems)
  const raw = (root.given.get('sender') ?? []) as RawSection[]
  const senders = raw.flatMap((one) => complete(one))
  for (const [index, one] of raw.entries()) {
    if (raw.findIndex(({ name }) => name === one.name) < index)
      problems.error(one.at, `sender \`${one.name}\` is defined twice`)
    if (!one.meant.has('key'))
      problems.warn(
        one.at,
        `mail of \`${one.name}\` would not be signed`,
        'add `key "SELECTOR" command "WORD" …;`',
      )
  }
  if (raw.length === 0 && problems.errors === 0)
    problems.error(at, 'there is no `sender`', 'add `sender "example.org" { … };`')
  if (problems.errors > 0) return { kind: 'bad', problems: printProblems(problems.sorted()) }
  return { kind: 'good', senders }
}

function complete({ name, given }: RawSection): SenderConfig[] {
  const usual = Object.entries(senderBlock.options).map(([option, { fallback }]) => [option, fallback])
  const values = { ...Object.fromEntries(usual), ...Object.fromEntries(given), domain: name } as Omit<
    SenderConfig,
    'send'
  > & { send: SendWay | null }
  const { send } = values
  return send === null ? [] : [{ ...values, send }]
}

/** The section of a domain, or of the nearest one above it. */
export function senderFor(senders: readonly SenderConfig[], domain: string): SenderConfig | null {
  for (let name = domain; name.includes('.'); name = name.slice(name.indexOf('.') + 1)) {
    const found = senders.find((one) => one.domain === name)
    if (found) return found
  }
  return null
}
