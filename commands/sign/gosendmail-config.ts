/**
 * A GoSendmail `config.json` (https://github.com/willscott/gosendmail) as our configuration: one object for each
 * domain, keys in any case. What its server side had (TLSCert, TLSKey, DialerProxy) is for the server's own
 * configuration, and named in a comment. Pure but for the reading; commands are split at blanks, as GoSendmail does.
 */
import { readFileSync } from 'node:fs'
import { quote } from '../../shared/config/types.ts'
import { exitCodes } from '../sendmail/exit-code.ts'
import { Stop } from '../sendmail/stop.ts'

export function importConfig(path: string): string {
  try {
    return convert(JSON.parse(readFileSync(path, 'utf8')))
  } catch (error) {
    if (error instanceof Stop) throw error
    throw new Stop(exitCodes.config, [`cannot read ${path}: ${(error as Error).message}`])
  }
}

type Facts = Readonly<Record<string, string>>

export function convert(json: unknown): string {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new Stop(exitCodes.config, ['no GoSendmail configuration: not an object'])
  const domains = new Map(Object.entries(json).map(([name, value]) => [name, factsOf(value)] as const))
  const sections = [...domains].flatMap(([domain, facts]) => {
    if (!facts || !domain.includes('.')) return []
    const own = facts['alias'] === undefined ? facts : (domains.get(facts['alias']) ?? facts)
    return [sectionOf(domain, own)]
  })
  return sections.join('\n')
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
    ...serverNotes(facts),
    `sender ${quote(domain)} {`,
    ...(key ? [`    key ${quote(facts['dkimselector'] || 'default')} command ${words(key)};`] : []),
    command
      ? `    send command ${words(command)};`
      : '    // SendCommand was missing: say here how mail leaves',
    '    date utc 15m;',
    '};',
  ]
  return `${lines.join('\n')}\n`
}

function serverNotes({ tlscert, tlskey, dialerproxy }: Facts): string[] {
  const notes = Object.entries({ TLSCert: tlscert, TLSKey: tlskey, DialerProxy: dialerproxy })
  return notes.flatMap(([name, text]) =>
    text ? [`// for the server that sends: ${name} ${oneLine(text)}`] : [],
  )
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
