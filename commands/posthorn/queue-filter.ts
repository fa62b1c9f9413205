/**
 * From the words of a `posthorn queue` command to the selection that qmgr is asked for. Pure: the time comes in.
 *
 * Fails with `Trouble`, exit code 64: a word that cannot be read is named, with what would be right.
 */
import { domainToASCII } from 'node:url'
import { parseId } from '../../shared/base/ids.ts'
import type { QueueFilter, QueueState } from '../../shared/bus/queue.ts'
import { parseDuration, parseSize, type Reading } from '../../shared/config/units.ts'
import { exits, Trouble } from './trouble.ts'
import type { Call, OptionName } from './words.ts'

const STATES = ['active', 'deferred', 'held', 'removed'] as const satisfies readonly QueueState[]
const MOST_CHARACTERS = 1000

export function filterOf({ operands, values, flags }: Call, now: number): QueueFilter {
  const { sender, recipient, destination, domain, state, code, reply } = values
  for (const name of ['sender', 'recipient', 'destination', 'domain', 'reply', 'code'] as const)
    checkLength(name, values[name])
  return {
    ...(operands.length > 0 && { ids: operands.map(readId) }),
    ...(sender !== undefined && { sender: readAddress(sender) }),
    ...(recipient !== undefined && { recipient: readAddress(recipient) }),
    ...(domain !== undefined && { domain: readDomain(domain) }),
    ...(destination !== undefined && { destination }),
    ...(state !== undefined && { state: readState(state) }),
    ...(code !== undefined && { code: readCode(code) }),
    ...(reply !== undefined && { reply }),
    ...readNumber(values, 'older', 'receivedBefore', (text) => before(now, text)),
    ...readNumber(values, 'younger', 'receivedAfter', (text) => before(now, text)),
    ...readNumber(values, 'larger', 'largerThan', parseSize),
    ...readNumber(values, 'smaller', 'smallerThan', parseSize),
    ...(flags.has('in-doubt') && { inDoubt: true }),
  }
}

export function readId(text: string): number {
  const id = parseId('T', text)
  if (id === null) throw new Trouble(exits.usage, `${text} is no message id; they look like T3W5E11264SG`)
  return id
}

/** `<>` and `` are the null reverse-path; domains are stored in lower case. */
function readAddress(text: string): string {
  const bare = text.replace(/^<(.*)>$/, '$1')
  const at = bare.lastIndexOf('@')
  return at < 0 ? bare : `${bare.slice(0, at + 1)}${readDomain(bare.slice(at + 1))}`
}

/** In the form that is stored: A-labels in lower case. Address literals and patterns stay what they are. */
function readDomain(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text.toLowerCase()
  const ascii = domainToASCII(text)
  if (ascii === '') throw new Trouble(exits.usage, `${text} is no domain`)
  return ascii
}

function readState(text: string): QueueState {
  const state = STATES.find((known) => known === text)
  if (state === undefined) throw new Trouble(exits.usage, `--state ${text}: one of ${STATES.join(', ')}`)
  return state
}

/** RFC 5321 section 4.2.1 and RFC 3463 section 2, or the beginning of one. */
function readCode(text: string): string {
  const reply = /^([2-5]\d\d|[2-5]\d?\*)$/
  const enhanced = /^[245]\.(\*|\d{1,3}\.(\*|\d{1,3}))$/
  if (!reply.test(text) && !enhanced.test(text))
    throw new Trouble(exits.usage, `--code ${text}: 451, 4*, 4.7.1 or 4.7.*`)
  return text
}

function readNumber<K extends keyof QueueFilter>(
  values: Call['values'],
  option: OptionName,
  key: K,
  parse: (text: string) => Reading<number>,
): Partial<Record<K, number>> {
  const text = values[option]
  if (text === undefined) return {}
  const reading = parse(text)
  if (reading.kind === 'ok') return { [key]: reading.value } as Partial<Record<K, number>>
  throw new Trouble(
    exits.usage,
    `--${option}: ${reading.message}${reading.hint === null ? '' : `; ${reading.hint}`}`,
  )
}

function before(now: number, text: string): Reading<number> {
  const reading = parseDuration(text)
  return reading.kind === 'ok' ? { kind: 'ok', value: now - reading.value } : reading
}

function checkLength(name: OptionName, text: string | undefined): void {
  if ((text?.length ?? 0) > MOST_CHARACTERS)
    throw new Trouble(exits.usage, `--${name}: more than ${MOST_CHARACTERS} characters`)
}
