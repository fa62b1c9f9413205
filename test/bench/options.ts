/**
 * What the bench is asked to do: the words of its command line, checked, and the cases they stand for.
 *
 * Fails: `readOptions` throws a UsageError whose message is one line for the caller.
 */
import { parseArgs } from 'node:util'

export class UsageError extends Error {}

/** One load, the same for every server. */
export interface Case {
  sessions: number
  /** Octets of a message. */
  size: number
  /** Recipients of a message. */
  recipients: number
  /** A new connection for each message. */
  reconnect: boolean
  messages: number
  /** For the peer, which takes longer; rates are per message. */
  peerMessages: number
}

export const peers = ['postfix', 'haraka', 'sendmail'] as const
export type PeerName = (typeof peers)[number]

/** What is measured: loads, all targets in one table, or one trouble at a time. */
export type Mode =
  | { kind: 'cases'; cases: Case[]; local: boolean }
  | { kind: 'table'; messages: number }
  | { kind: 'slow-sync'; delayMs: number }
  | { kind: 'slow-clients'; count: number }
  | { kind: 'dead-destinations'; count: number }
  | { kind: 'deferred'; count: number }
  | { kind: 'dns' }
  | { kind: 'authentication'; messages: number }
  | { kind: 'injection' }
  | { kind: 'client'; messages: number }
  | { kind: 'engine'; messages: number }

export interface BenchOptions {
  mode: Mode
  repeat: number
  peers: PeerName[]
  json: boolean
}

export const USAGE = `usage: npm run bench -- [option]...
Loads, each a table of rates, CPU and memory:
  --all               the usual cases: 1, 10 and 50 sessions, new connections, 50 recipients, 1 MiB
  --sessions N        connections at one time (50)
  --messages N        messages per run (20000); a peer gets a quarter of them
  --size OCTETS       of a message (4096)
  --recipients N      of a message (1)
  --new-connections   a connection for each message
  --local             into a Maildir; as root, beside postfix alone
  --peer NAME         the same load for postfix, haraka or sendmail, in turn; may be given several times
Other measures:
  --table             every target, one row each, with Postfix beside; as root; other peers with --peer
  --slow-sync MS      answers of sessions while each sync to disk takes MS longer; as root
  --slow-clients N    memory of each of N slow clients, and good mail beside them
  --dead-destinations N   latency of a live destination with N dead ones beside it
  --deferred N        start and live mail with N deferred messages in the queue; --million for 1000000
  --dns               answers of the resolver, remembered and new
  --authentication    CPU per message of SPF, DKIM and DMARC, --messages of them
  --client            what sending costs smtpc, beside smtp-source; --messages N of them
  --sendmail          what a start of sendmail costs
  --engine            smtpd alone, its messages thrown away, beside Postfix's smtp-sink; and what hostile loads cost it
All:
  --repeat N          runs, of which the median is taken (3)
  --json              one line of JSON for each case or row instead of tables`

const MODES = [
  'all',
  'table',
  'slow-sync',
  'slow-clients',
  'dead-destinations',
  'deferred',
  'million',
  'dns',
  'authentication',
  'sendmail',
  'client',
  'engine',
] as const

export function readOptions(words: string[]): BenchOptions {
  const { values } = parse(words)
  const given = MODES.filter((name) => values[name] !== undefined)
  if (given.length > 1)
    throw new UsageError(`${given.map((name) => `--${name}`).join(' and ')}: one at a time`)
  return {
    mode: modeOf(values),
    repeat: whole('repeat', values.repeat, 3, 99),
    peers: [...new Set((values.peer ?? []).map(peerOf))],
    json: values.json === true,
  }
}

type Values = ReturnType<typeof parse>['values']

function modeOf(values: Values): Mode {
  const messages = whole('messages', values.messages, 20_000, 1_000_000)
  if (values.table) return { kind: 'table', messages }
  if (values.dns) return { kind: 'dns' }
  if (values.authentication) return { kind: 'authentication', messages }
  if (values.client) return { kind: 'client', messages }
  if (values.sendmail) return { kind: 'injection' }
  if (values.engine) return { kind: 'engine', messages }
  if (values.million) return { kind: 'deferred', count: 1_000_000 }
  const delay = values['slow-sync']
  if (delay !== undefined) return { kind: 'slow-sync', delayMs: whole('slow-sync', delay, 0, 1000) }
  const slow = values['slow-clients']
  if (slow !== undefined) return { kind: 'slow-clients', count: whole('slow-clients', slow, 0, 10_000) }
  const dead = values['dead-destinations']
  if (dead !== undefined)
    return { kind: 'dead-destinations', count: whole('dead-destinations', dead, 0, 5000) }
  if (values.deferred !== undefined)
    return { kind: 'deferred', count: whole('deferred', values.deferred, 0, 10_000_000) }
  const local = values.local === true
  return { kind: 'cases', local, cases: values.all ? allCases(messages) : [oneCase(values, messages)] }
}

function parse(words: string[]) {
  try {
    return parseArgs({
      args: words,
      options: {
        peer: { type: 'string', multiple: true },
        all: { type: 'boolean' },
        table: { type: 'boolean' },
        'slow-sync': { type: 'string' },
        'slow-clients': { type: 'string' },
        'dead-destinations': { type: 'string' },
        deferred: { type: 'string' },
        million: { type: 'boolean' },
        dns: { type: 'boolean' },
        authentication: { type: 'boolean' },
        sendmail: { type: 'boolean' },
        client: { type: 'boolean' },
        engine: { type: 'boolean' },
        sessions: { type: 'string' },
        messages: { type: 'string' },
        size: { type: 'string' },
        recipients: { type: 'string' },
        'new-connections': { type: 'boolean' },
        local: { type: 'boolean' },
        repeat: { type: 'string' },
        json: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function peerOf(name: string): PeerName {
  const found = peers.find((peer) => peer === name)
  if (!found) throw new UsageError(`--peer: ${peers.join(', ')}, not ${name}`)
  return found
}

function whole(name: string, text: string | undefined, otherwise: number, most: number): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > most)
    throw new UsageError(`--${name}: a whole number from 1 to ${most}, not ${text}`)
  return value
}

/** A quarter for the peers. */
function counts(messages: number): { messages: number; peerMessages: number } {
  return { messages, peerMessages: Math.ceil(messages / 4) }
}

function oneCase(values: Values, messages: number): Case {
  return {
    sessions: whole('sessions', values.sessions, 50, 1000),
    size: whole('size', values.size, 4096, 32 << 20),
    recipients: whole('recipients', values.recipients, 1, 1000),
    reconnect: values['new-connections'] === true,
    ...counts(messages),
  }
}

/** 4 KiB to one recipient over kept connections, but for `special`; a `part`-th of the messages. */
export function plainCase(messages: number, part: number, special: Partial<Case> = {}): Case {
  const plain = { sessions: 50, size: 4096, recipients: 1, reconnect: false }
  return { ...plain, ...counts(Math.ceil(messages / part)), ...special }
}

function allCases(messages: number): Case[] {
  return [
    plainCase(messages, 4, { sessions: 1 }),
    plainCase(messages, 1, { sessions: 10 }),
    plainCase(messages, 1),
    plainCase(messages, 2, { reconnect: true }),
    plainCase(messages, 10, { sessions: 20, recipients: 50 }),
    plainCase(messages, 20, { sessions: 10, size: 1 << 20 }),
  ]
}
