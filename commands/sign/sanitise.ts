/**
 * A message's header made fit to leave the user's machine: what only says where and with what it was written goes,
 * Date tells no more than it must, Message-ID is fresh. Pure: time and chance come in.
 *
 * Of a message sent on (RFC 5322 section 3.6.6) the Resent- block on top is ours, all below it is history of others:
 * Received, Date and Message-ID of that stay, and the rules apply to their Resent- counterparts.
 */
import type { HeaderField } from '../../shared/dkim/fields.ts'
import { fieldValue } from '../../shared/dkim/fields.ts'
import type { DateRule } from './sign-config.ts'

export interface Rules {
  date: DateRule
  'message-id': 'fresh' | 'keep'
  /** Lower case. */
  remove: readonly string[]
}

export interface Chance {
  /** Milliseconds since 1970. */
  now: number
  /** With its angle brackets. */
  messageId: string
}

const REVEALING = ['bcc', 'resent-bcc', 'x-mailer', 'user-agent', 'x-originating-ip', 'x-originating-email']
/** Not ours to say. */
const TRANSPORT = ['return-path', 'content-length', 'delivered-to']

export function sanitise(fields: readonly HeaderField[], rules: Rules, chance: Chance): HeaderField[] {
  const resent = fields.findIndex(({ name }) => name.startsWith('resent-'))
  const gone = new Set([...REVEALING, ...TRANSPORT, ...rules.remove])
  const kept = fields.filter(({ name }, at) => {
    if (gone.has(name)) return false
    return name !== 'received' || (resent >= 0 && at > resent)
  })
  const prefix = resent >= 0 ? 'Resent-' : ''
  const dated = setField(kept, `${prefix}Date`, (old) => dateOf(old, rules.date, chance.now))
  const keepId = rules['message-id'] === 'keep'
  return setField(dated, `${prefix}Message-ID`, (old) => (keepId && old !== null ? old : chance.messageId))
}

/** In the place of the first of its name, or on top; others of that name go. */
function setField(
  fields: readonly HeaderField[],
  written: string,
  make: (old: string | null) => string,
): HeaderField[] {
  const name = written.toLowerCase()
  const first = fields.find((field) => field.name === name)
  const old = first ? fieldValue(first) : null
  const value = make(old)
  const made = old === value && first ? first : { name, raw: `${written}: ${value}\r\n` }
  if (!first) return [made, ...fields]
  return fields.flatMap((field) => (field === first ? [made] : field.name === name ? [] : [field]))
}

function dateOf(old: string | null, rule: DateRule, now: number): string {
  const written = old === null ? Number.NaN : Date.parse(old.replace(/\([^()]*\)/g, ' '))
  if (rule.kind === 'keep') return old !== null && !Number.isNaN(written) ? old : renderDate(now)
  const time = Number.isNaN(written) ? now : written
  return renderDate(time - (((time % rule.step) + rule.step) % rule.step))
}

/** RFC 5322 section 3.3, in UTC. */
function renderDate(time: number): string {
  return new Date(time).toUTCString().replace(/GMT$/, '+0000')
}
