/**
 * What a milter says, as decoded packets. Pure. Fails: FilterTrouble for what no milter says.
 */
import type { SmtpReply } from '../../../shared/smtp/reply.ts'
import { type Change, FilterTrouble } from './change.ts'
import { type Packet, readStrings } from './milter-packet.ts'

export type MilterReply =
  | { kind: 'continue' | 'accept' | 'reject' | 'tempfail' | 'discard' | 'skip' | 'progress' }
  /** It goes, or does not want this client. */
  | { kind: 'leaving' }
  | { kind: 'reply'; reply: SmtpReply }
  | { kind: 'change'; change: Change }

export interface Terms {
  version: number
  actions: number
  steps: number
  /** The macros it has chosen, by its number for a stage. */
  macros: ReadonlyMap<number, readonly string[]>
}

export function readTerms({ command, data }: Packet): Terms {
  if (command !== 'O' || data.length < 12) throw new FilterTrouble('it does not negotiate')
  return {
    version: data.readUInt32BE(0),
    actions: data.readUInt32BE(4),
    steps: data.readUInt32BE(8),
    macros: readMacros(data),
  }
}

function readMacros(data: Buffer): ReadonlyMap<number, readonly string[]> {
  const macros = new Map<number, readonly string[]>()
  for (let at = 12; at + 4 <= data.length; ) {
    const end = data.indexOf(0, at + 4)
    const names = data.toString('latin1', at + 4, end < 0 ? data.length : end)
    macros.set(
      data.readUInt32BE(at),
      names.split(/[ ,\t]+/).filter((name) => name !== ''),
    )
    if (end < 0) break
    at = end + 1
  }
  return macros
}

const plain: ReadonlyMap<string, MilterReply> = new Map<string, MilterReply>([
  ['c', { kind: 'continue' }],
  ['a', { kind: 'accept' }],
  ['r', { kind: 'reject' }],
  ['t', { kind: 'tempfail' }],
  ['d', { kind: 'discard' }],
  ['s', { kind: 'skip' }],
  ['p', { kind: 'progress' }],
  ['f', { kind: 'leaving' }],
  ['4', { kind: 'leaving' }],
])

export function readReply(packet: Packet): MilterReply {
  const known = plain.get(packet.command)
  if (known) return known
  if (packet.command === 'y') return { kind: 'reply', reply: readSmtpReply(packet.data) }
  return { kind: 'change', change: readChange(packet) }
}

function readChange({ command, data }: Packet): Change {
  switch (command) {
    case 'h':
      return { kind: 'add-field', ...nameAndValue(data, 0) }
    case 'i':
      return { kind: 'insert-field', index: indexIn(data), ...nameAndValue(data, 4) }
    case 'm':
      return { kind: 'change-field', index: indexIn(data), ...nameAndValue(data, 4) }
    case 'e':
      return { kind: 'sender', address: addressIn(readStrings(data)[0]) }
    case '+':
      return { kind: 'add-recipient', address: addressIn(readStrings(data)[0]), parameters: '' }
    case '2': {
      const [address, parameters = ''] = readStrings(data)
      return { kind: 'add-recipient', address: addressIn(address), parameters }
    }
    case '-':
      return { kind: 'remove-recipient', address: addressIn(readStrings(data)[0]) }
    case 'b':
      return { kind: 'body', octets: data }
    case 'q':
      return { kind: 'hold', reason: printable(readStrings(data)[0] ?? '') }
    default:
      throw new FilterTrouble(`an answer \`${command}\` that there is none of`)
  }
}

function indexIn(data: Buffer): number {
  if (data.length < 4) throw new FilterTrouble('a change without its index')
  return data.readUInt32BE(0)
}

function nameAndValue(data: Buffer, from: number): { name: string; value: string } {
  const [name, value = ''] = readStrings(data, from)
  if (name === undefined) throw new FilterTrouble('a change without a name')
  return { name, value }
}

/** Bare, as envelopes have it. */
function addressIn(text: string | undefined): string {
  if (text === undefined) throw new FilterTrouble('a change without an address')
  const address = Buffer.from(text.trim(), 'latin1').toString('utf8')
  return /^<(.*)>$/s.exec(address)?.[1] ?? address
}

/** `550 5.7.1 text`, lines by CRLF or LF, the code in each. A percent sign is doubled, as sendmail wants it. */
function readSmtpReply(data: Buffer): SmtpReply {
  const lines = (readStrings(data)[0] ?? '').split(/\r\n|\n/).filter((line) => line !== '')
  const [, code = '', enhanced = ''] =
    /^([45]\d\d)[ -]?(?:([45]\.\d{1,3}\.\d{1,3})(?: |$))?/.exec(lines[0] ?? '') ?? []
  if (code === '') throw new FilterTrouble('a reply that refuses nothing')
  const text = lines
    .map((line) => line.replace(/^\d{3}[ -]?(?:[245]\.\d{1,3}\.\d{1,3}(?: |$))?/, '').replaceAll('%%', '%'))
    .map(printable)
    .join('\n')
  return makeReply(Number(code), enhanced, text)
}

/** 421 would promise an end of the session, which is ours to decide on. */
export function makeReply(code: number, enhanced: string, text: string): SmtpReply {
  const fits = enhanced.startsWith(`${Math.floor(code / 100)}.`)
  const usual = code >= 500 ? '5.7.1' : '4.7.1'
  return {
    code: code === 421 ? 451 : code,
    enhanced: fits ? enhanced : usual,
    text: text || 'refused by a filter',
  }
}

export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 400)
}
