/**
 * The header of a message as filters see it and change it (RFC 5322 section 2.2): a list of fields, each with the
 * text that stands in the message, one octet a character, so that what nobody changes stays as it is.
 *
 * The header ends at the empty line, or at the first line that is neither a field nor the continuation of one: what
 * follows is body for a filter as it is for most readers. Pure; nothing fails: a change with a name that is none is
 * not made. What filters say gets whole line ends, each followed by white space, so no value makes a second field.
 */
import type { Change } from './change.ts'

export interface Field {
  name: string
  /** With its name, without the final CRLF. */
  raw: string
}

export interface Head {
  fields: readonly Field[]
  /** Octets of it, with the empty line. */
  octets: number
  /** There is an empty line behind it. */
  closed: boolean
}

const FIELD = /^([!-9;-~]+)[ \t]*:/
const NAME = /^[!-9;-~]+$/
const CR = 13
const LF = 10
const SPACE = 32
const TAB = 9

/** @param content from the header's first octet on. Null: it does not end in what is here. */
export function readHead(content: Buffer, whole: boolean): Head | null {
  const fields: Field[] = []
  let at = 0
  while (at < content.length) {
    if (content[at] === CR && content[at + 1] === LF) return { fields, octets: at + 2, closed: true }
    const end = fieldEnd(content, at)
    if (end === null && !whole) return null
    const to = end ?? content.length
    const raw = content.toString('latin1', at, content[to - 1] === LF ? to - 2 : to)
    const name = FIELD.exec(raw)?.[1]
    if (name === undefined) break
    fields.push({ name, raw })
    at = to
  }
  return at === content.length && !whole ? null : { fields, octets: at, closed: false }
}

/** Behind the CRLF that no white space follows; null: it is not here. */
function fieldEnd(content: Buffer, from: number): number | null {
  for (let at = content.indexOf('\r\n', from); at >= 0; at = content.indexOf('\r\n', at + 2)) {
    const next = content[at + 2]
    if (next === undefined) return null
    if (next !== SPACE && next !== TAB) return at + 2
  }
  return null
}

/** The value without the space behind the colon, or with it; lines end with LF, as in milters. */
export function fieldValue({ raw }: Field, spaced = false): string {
  const value = raw.slice(raw.indexOf(':') + 1).replaceAll('\r\n', '\n')
  return spaced ? value : value.replace(/^[ \t]/, '')
}

export function renderHead(fields: readonly Field[]): string {
  return `${fields.map(({ raw }) => `${raw}\r\n`).join('')}\r\n`
}

/** @param value with the space that is to stand behind the colon. */
export function makeField(name: string, value: string): Field | null {
  if (!NAME.test(name)) return null
  const lines = value
    .replaceAll('\0', '')
    .replace(/[\r\n]+$/, '')
    .split(/\r\n|\r|\n/)
  const [first = '', ...rest] = lines
  const folded = rest
    .filter((line) => line.trim() !== '')
    .map((line) => (/^[ \t]/.test(line) ? line : `\t${line}`))
  return { name, raw: [`${name}:${first}`, ...folded].join('\r\n') }
}

export function editFields(fields: readonly Field[], change: Change): readonly Field[] {
  switch (change.kind) {
    case 'add-field':
      return insertAt(fields, fields.length, makeField(change.name, change.value))
    case 'insert-field':
      return insertAt(fields, change.index - 1, makeField(change.name, change.value))
    case 'change-field':
      return changeField(fields, change)
    default:
      return fields
  }
}

function insertAt(fields: readonly Field[], index: number, field: Field | null): readonly Field[] {
  return field ? fields.toSpliced(Math.max(0, index), 0, field) : fields
}

/** As sendmail does it: what is not there to be changed is added. */
function changeField(
  fields: readonly Field[],
  { name, index, value }: Extract<Change, { kind: 'change-field' }>,
): readonly Field[] {
  let seen = 0
  const wanted = name.toLowerCase()
  const at = fields.findIndex((field) => field.name.toLowerCase() === wanted && ++seen === Math.max(1, index))
  if (value === '') return at < 0 ? fields : fields.toSpliced(at, 1)
  const field = makeField(name, value)
  if (!field) return fields
  return at < 0 ? [...fields, field] : fields.with(at, field)
}
