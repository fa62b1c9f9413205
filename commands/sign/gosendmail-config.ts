/**
 * A GoSendmail `config.json` (https://github.com/willscott/gosendmail) as our configuration: one object for each
 * domain, keys in any case. What its server side had (TLSCert, TLSKey, DialerProxy) belongs into the server's own
 * configuration: `serverPart` makes that. Pure but for the reading; commands are split at blanks, as GoSendmail does.
 *
 * A command that ends in a sendmail becomes a conversation, `sendmail -bs`, which tells of each recipient; a sendmail
 * that knows no `-bs` (GoSendmail's own) needs the line that stands beside it as a comment.
 */
import { readFileSync } from 'node:fs'
import { quote } from '../../shared/config/types.ts'
import { exitCodes } from '../sendmail/exit-code.ts'
import { Stop } from '../sendmail/stop.ts'

/** @param part whose configuration to print. */
export function importConfig(path: string, part: 'user' | 'server'): string {
  try {
    const make = part === 'user' ? convert : serverPart
    return make(JSON.parse(readFileSync(path, 'utf8')))
  } catch (error) {
    if (error instanceof Stop) throw error
    throw new Stop(exitCodes.config, [`cannot read ${path}: ${(error as Error).message}`])
  }
}

type Facts = Readonly<Record<string, string>>

/** For sign.conf. */
export function convert(json: unknown): string {
  const domains = domainsOf(json)
  const note = domains.some(({ facts }) => wayOf(facts).length > 0)
    ? ['// TLSCert, TLSKey and DialerProxy are for the server: signmail import --server CONFIG.JSON\n']
    : []
  return [...note, ...domains.map(({ domain, facts }) => sectionOf(domain, facts))].join('\n')
}

/** For posthorn.conf of the server that sends, which has one way for all: where domains differ the first one's. */
export function serverPart(json: unknown): string {
  const ways = domainsOf(json)
    .map(({ domain, facts }) => ({ domain, lines: wayOf(facts) }))
    .filter(({ lines }) => lines.length > 0)
  const [first, ...others] = ways
  if (!first) return '// nothing here is for the server\n'
  const same = (lines: readonly string[]) => lines.join('\n') === first.lines.join('\n')
  const different = others.filter(({ lines }) => !same(lines))
  return [
    'smtpc {',
    ...first.lines.map((line) => `    ${line}`),
    '};',
    ...different.flatMap(({ domain, lines }) => [
      `// ${oneLine(domain)} had another way; a zone or server section may say it:`,
      ...lines.map((line) => `//   ${line}`),
    ]),
    '',
  ].join('\n')
}

function domainsOf(json: unknown): { domain: string; facts: Facts }[] {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new Stop(exitCodes.config, ['no GoSendmail configuration: not an object'])
  const domains = new Map(Object.entries(json).map(([name, value]) => [name, factsOf(value)] as const))
  return [...domains].flatMap(([domain, facts]) => {
    if (!facts || !domain.includes('.')) return []
    const own = facts['alias'] === undefined ? facts : (domains.get(facts['alias']) ?? facts)
    return [{ domain, facts: own }]
  })
}

/** Null: a setting of the whole, which has no counterpart. */
function factsOf(value: unknown): Facts | null {
  if (typeof value !== 'object' || value === null) return null
  const entries = Object.entries(value).flatMap(([key, text]) =>
    typeof text === 'string' ? [[key.toLowerCase(), text] as const] : [],
  )
  return Object.fromEntries(entries)
}

function sectionOf(domain: string, facts: Facts): string {
  const key = facts['dkimkeycmd']
  const command = facts['sendcommand']
  const lines = [
    `sender ${quote(domain)} {`,
    ...(key ? [`    key ${quote(facts['dkimselector'] || 'default')} command ${words(key)};`] : []),
    ...(command ? sendLines(command) : ['    // SendCommand was missing: say here how mail leaves']),
    '    date utc 15m;',
    '};',
  ]
  return `${lines.join('\n')}\n`
}

function wayOf({ tlscert, tlskey, dialerproxy }: Facts): string[] {
  const options = { 'tls-certificate': tlscert, 'tls-key': tlskey, proxy: dialerproxy }
  return Object.entries(options).flatMap(([name, text]) => (text ? [`${name} ${quote(oneLine(text))};`] : []))
}

/** With one exit code for all, `command` cannot tell who was refused. */
function sendLines(command: string): string[] {
  const all = command.split(' ').filter((word) => word !== '')
  const program = all.findIndex((word) => /(^|\/)sendmail$/.test(word))
  if (program < 0) return [`    send command ${words(command)};`]
  return [
    `    send smtp-command ${[...all.slice(0, program + 1), '-bs'].map(quote).join(' ')};`,
    `    // where that sendmail knows no -bs: send command ${words(command)};`,
  ]
}

function words(command: string): string {
  return command
    .split(' ')
    .filter((word) => word !== '')
    .map(quote)
    .join(' ')
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ')
}
