/**
 * The words of the `posthorn` command: one table, from which the command line is read and help is printed.
 *
 * Fails: an unknown word or option gives `usage` with the nearest known one; exit code 64.
 */
import { parseArgs } from 'node:util'
import { suggestion } from '../../shared/config/suggest.ts'
import { type Option, type OptionName, optionTable } from './word-options.ts'

export type { OptionName } from './word-options.ts'

const SELECTION = [
  'sender',
  'recipient',
  'domain',
  'destination',
  'state',
  'older',
  'younger',
  'larger',
  'smaller',
  'code',
  'reply',
  'in-doubt',
] as const
const ACT = [...SELECTION, 'all', 'dry-run', 'json', 'quiet'] as const
const EVERYWHERE = ['config', 'directory', 'control-socket', 'queue-socket', 'help'] as const

interface Command {
  /** What may follow the words. */
  operands:
    | ''
    | 'MAP KEY'
    | 'PATH …'
    | '[FILE]'
    | '[NAME]'
    | '[ID …]'
    | '[list | revoke ID …]'
    | 'ID'
    | 'FILE LOGIN'
    | '[ADDRESS …]'
    | 'ADDRESS'
  options: readonly OptionName[]
  doc: string
}

export const commandTable = {
  start: { operands: '', options: ['as-caller', 'background'], doc: 'start the mail server' },
  stop: { operands: '', options: ['quiet'], doc: 'finish what is under way and stop the server' },
  reload: { operands: '', options: ['quiet'], doc: 'take over the changed configuration' },
  status: { operands: '', options: ['json'], doc: 'processes, queue, and what is not as it should be' },
  check: { operands: '[FILE]', options: [], doc: 'look through the configuration and list every mistake' },
  'queue list': {
    operands: '[ID …]',
    options: [...SELECTION, 'json', 'exit-code'],
    doc: 'mail that waits; everybody sees their own, root sees all',
  },
  'queue show': {
    operands: 'ID',
    options: ['json'],
    doc: 'one message: envelope, recipients and what they were told, header',
  },
  'queue hold': { operands: '[ID …]', options: ACT, doc: 'keep mail where it is' },
  'queue release': { operands: '[ID …]', options: ACT, doc: 'let held mail go' },
  'queue retry': { operands: '[ID …]', options: ACT, doc: 'try deferred mail now' },
  'queue route-again': {
    operands: '[ID …]',
    options: ACT,
    doc: 'forget where mail was to go, and try it now',
  },
  'queue flush': { operands: '[ID …]', options: ACT, doc: 'retry; everything where nothing is selected' },
  'queue remove': {
    operands: '[ID …]',
    options: [...ACT, 'for-good'],
    doc: 'take mail out, without telling its sender; for a while it can be restored',
  },
  'queue restore': { operands: '[ID …]', options: ACT, doc: 'put removed mail back as it was' },
  'queue wait': { operands: '', options: [...SELECTION, 'timeout'], doc: 'until no such mail is left' },
  agent: {
    operands: '',
    options: ['on-demand'],
    doc: 'give your mail to your providers, by ~/.config/posthorn/accounts.conf',
  },
  'agent grants': {
    operands: '[list | revoke ID …]',
    options: ['all', 'json', 'quiet'],
    doc: 'what you allowed programs to send without asking; take it back',
  },
  'account list': { operands: '', options: [], doc: 'your accounts, and what each is for' },
  'account check': {
    operands: '[NAME]',
    options: [],
    doc: 'every mistake in accounts.conf; with a name, log in there as well',
  },
  'account find': {
    operands: 'ADDRESS',
    options: ['name-server'],
    doc: 'an account for this address of yours, by what its domain says in DNS',
  },
  'account import': {
    operands: '[FILE]',
    options: [],
    doc: "accounts.conf from msmtp's file, on standard output",
  },
  'account options': { operands: '', options: [], doc: 'the manual of accounts.conf' },
  'outbox list': { operands: '', options: ['json'], doc: 'mail that waits for your provider or for you' },
  'outbox release': { operands: 'ID', options: ['quiet'], doc: 'let held mail go' },
  'outbox remove': { operands: 'ID', options: ['quiet'], doc: 'take mail out; it is gone' },
  'outbox flush': { operands: '', options: ['quiet'], doc: 'try everything that waits now' },
  'greylist list': { operands: '', options: ['json'], doc: 'what greylisting remembers' },
  'greylist remove': {
    operands: 'ADDRESS',
    options: ['quiet'],
    doc: 'forget a client with its network, a sender or a recipient',
  },
  'greylist flush': { operands: '', options: ['quiet'], doc: 'forget everything' },
  'reports list': {
    operands: '',
    options: ['json'],
    doc: 'reports about DMARC and TLS that wait for the end of their day',
  },
  'reports read': {
    operands: 'PATH …',
    options: ['json'],
    doc: 'sum up DMARC and TLS reports of others, from Maildirs, folders or files',
  },
  'reports send': {
    operands: '',
    options: ['today', 'quiet'],
    doc: 'send now what is due, whatever was tried before',
  },
  lookup: {
    operands: 'MAP KEY',
    options: ['as', 'json'],
    doc: 'ask a map of the running server; leaves with 66 when nothing is found',
  },
  aliases: { operands: '', options: [], doc: 'look through the alias files and list every mistake' },
  passwd: {
    operands: 'FILE LOGIN',
    options: ['scram', 'remove', 'verify'],
    doc: 'set a password in a password file; asks, or reads standard input',
  },
  'key generate': {
    operands: '[NAME]',
    options: ['as-caller'],
    doc: 'make the keys that dkim sections lack, and print their records for DNS',
  },
  'key rotate': {
    operands: '[NAME]',
    options: ['as-caller', 'now'],
    doc: 'put new keys in place of old ones, a step at a time; call it daily',
  },
  'key publish': { operands: '[NAME]', options: [], doc: 'the records of all keys, for a zone file' },
  'key list': { operands: '[NAME]', options: [], doc: 'the keys, and which of them sign' },
  'key check': { operands: '[NAME]', options: [], doc: 'whether DNS has the keys that are here' },
  'sign-and-send': {
    operands: '[ADDRESS …]',
    options: [],
    doc: 'sign a message and send it; `signmail --help` for more',
  },
  options: { operands: '', options: [], doc: 'the manual of posthorn.conf' },
  'setup-users': { operands: '', options: ['print'], doc: 'make the system users that the processes become' },
  version: { operands: '', options: [], doc: 'which build this is' },
  help: { operands: '', options: [], doc: 'this text' },
} as const satisfies Record<string, Command>
export type CommandName = keyof typeof commandTable

export interface Call {
  command: CommandName
  operands: string[]
  flags: ReadonlySet<OptionName>
  values: Partial<Record<OptionName, string>>
}
export type Words = { kind: 'call'; call: Call } | { kind: 'usage'; message: string }

export function readWords(argv: readonly string[]): Words {
  const { tokens } = parseArgs({
    args: [...argv],
    options: parserOptions(),
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  const flags = new Set<OptionName>()
  const values: Partial<Record<OptionName, string>> = {}
  const words: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value)
    if (token.kind !== 'option') continue
    const wrong = takeOption(token.name, token.rawName, token.value, flags, values)
    if (wrong) return usage(wrong)
  }
  return readCommand(words, flags, values)
}

function parserOptions(): Record<string, { type: 'string' | 'boolean'; short?: string }> {
  const entries = Object.entries(optionTable).map(([name, option]: [string, Option]) => {
    const type = option.value ? ('string' as const) : ('boolean' as const)
    return [name, option.short ? { type, short: option.short } : { type }] as const
  })
  return Object.fromEntries(entries)
}

function takeOption(
  name: string,
  written: string,
  value: string | undefined,
  flags: Set<OptionName>,
  values: Partial<Record<OptionName, string>>,
): string {
  if (!Object.hasOwn(optionTable, name)) return unknown('option', written, Object.keys(optionTable), '--')
  const known = name as OptionName
  const option: Option = optionTable[known]
  if (option.value && value === undefined) return `${written} needs a value: ${option.value}`
  if (!option.value && value !== undefined) return `${written} takes no value`
  if (value === undefined) flags.add(known)
  else values[known] = value
  return ''
}

function readCommand(
  words: string[],
  flags: ReadonlySet<OptionName>,
  values: Partial<Record<OptionName, string>>,
): Words {
  if (words.length === 0 || flags.has('help')) return call('help', [], flags, values)
  const two = `${words[0]} ${words[1]}`
  const name = Object.hasOwn(commandTable, two) ? two : (words[0] ?? '')
  if (!Object.hasOwn(commandTable, name)) {
    const known = Object.keys(commandTable)
    const written = ['queue', 'account', 'outbox', 'key'].includes(words[0] ?? '')
      ? words.slice(0, 2).join(' ')
      : name
    return usage(unknown('command', written, known, ''))
  }
  const command = name as CommandName
  const operands = words.slice(name === two ? 2 : 1)
  const wrong = whyNot(command, operands, [...flags, ...Object.keys(values)])
  return wrong ? usage(wrong) : call(command, operands, flags, values)
}

function whyNot(name: CommandName, operands: readonly string[], given: readonly string[]): string {
  const command: Command = commandTable[name]
  const allowed: readonly string[] = [...command.options, ...EVERYWHERE]
  const foreign = given.find((option) => !allowed.includes(option))
  if (foreign) return `"posthorn ${name}" has no option --${foreign}`
  const most = {
    '': 0,
    '[FILE]': 1,
    '[NAME]': 1,
    ID: 1,
    'FILE LOGIN': 2,
    'MAP KEY': 2,
    ADDRESS: 1,
    '[list | revoke ID …]': Number.POSITIVE_INFINITY,
    '[ID …]': Number.POSITIVE_INFINITY,
    'PATH …': Number.POSITIVE_INFINITY,
    '[ADDRESS …]': Number.POSITIVE_INFINITY,
  }[command.operands]
  if (operands.length > most) return `"posthorn ${name}" takes no "${operands[most]}"`
  if (command.operands === 'ID' && operands.length === 0) return `"posthorn ${name}" needs a message id`
  if (command.operands === 'ADDRESS' && operands.length === 0) return `"posthorn ${name}" needs an address`
  if (command.operands === 'PATH …' && operands.length === 0)
    return `"posthorn ${name}" needs a Maildir, folder or file`
  if (command.operands === 'MAP KEY' && operands.length < 2) return `"posthorn ${name}" needs a map and a key`
  if (command.operands === 'FILE LOGIN' && operands.length < 2)
    return `"posthorn ${name}" needs a file and a login`
  return ''
}

function call(command: CommandName, operands: string[], flags: Call['flags'], values: Call['values']): Words {
  return { kind: 'call', call: { command, operands, flags, values } }
}

function usage(message: string): Words {
  return { kind: 'usage', message }
}

function unknown(what: string, written: string, known: readonly string[], prefix: string): string {
  const bare = written.replace(/^-+/, '')
  const hint = suggestion(bare, known)?.replace(/`([^`]+)`/, `\`${prefix}$1\``)
  return `unknown ${what} ${written}${hint ? `; ${hint}` : ''}`
}

const NAMES_WIDTH = 72

export function renderHelp(): string {
  const commands = Object.entries(commandTable).map(([name, command]: [string, Command]) => {
    const words = [name, command.operands].filter((word) => word !== '').join(' ')
    return `  ${words.padEnd(22)} ${command.doc}${renderNames(command.options)}`
  })
  const options = Object.entries(optionTable).map(([name, option]: [string, Option]) => {
    const words = `${option.short ? `-${option.short}, ` : ''}--${name}${option.value ? ` ${option.value}` : ''}`
    return `  ${words.padEnd(22)} ${option.doc}`
  })
  return ['usage: posthorn [OPTION …] COMMAND', '', ...commands, '', ...options, ''].join('\n')
}

/** In as many lines as they need. */
function renderNames(names: readonly OptionName[]): string {
  const lines: string[] = []
  for (const name of names) {
    const longer = `${lines.at(-1) ?? ''} --${name}`
    if (lines.length === 0 || longer.length > NAMES_WIDTH) lines.push(` --${name}`)
    else lines[lines.length - 1] = longer
  }
  return lines.map((line) => `\n${' '.repeat(24)}${line}`).join('')
}
