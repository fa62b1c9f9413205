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

export interface BenchOptions {
  cases: Case[]
  repeat: number
  peer: 'postfix' | null
  json: boolean
}

export const USAGE = `usage: npm run bench -- [option]...
  --peer postfix      run Debian's Postfix on the same load, in turn, and print the ratios (needs root)
  --all               the usual cases: 1 and 50 sessions, new connections, 50 recipients, 1 MiB
  --sessions N        connections at one time (50)
  --messages N        messages per run (20000); the peer gets a quarter of them
  --size OCTETS       of a message (4096)
  --recipients N      of a message (1)
  --new-connections   a connection for each message
  --repeat N          runs, of which the median is taken (3)
  --json              one line of JSON for each case instead of tables`

export function readOptions(words: string[]): BenchOptions {
  const { values } = parse(words)
  const one = {
    sessions: whole('sessions', values.sessions, 50, 1000),
    size: whole('size', values.size, 4096, 32 << 20),
    recipients: whole('recipients', values.recipients, 1, 1000),
    reconnect: values['new-connections'] === true,
  }
  const messages = whole('messages', values.messages, 20_000, 1_000_000)
  const { peer } = values
  if (peer !== undefined && peer !== 'postfix') throw new UsageError(`--peer: only postfix, not ${peer}`)
  const cases = values.all ? allCases(messages) : [{ ...one, ...counts(messages) }]
  return {
    cases,
    repeat: whole('repeat', values.repeat, 3, 99),
    peer: peer ?? null,
    json: values.json === true,
  }
}

function parse(words: string[]) {
  try {
    return parseArgs({
      args: words,
      options: {
        peer: { type: 'string' },
        all: { type: 'boolean' },
        sessions: { type: 'string' },
        messages: { type: 'string' },
        size: { type: 'string' },
        recipients: { type: 'string' },
        'new-connections': { type: 'boolean' },
        repeat: { type: 'string' },
        json: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function whole(name: string, text: string | undefined, otherwise: number, most: number): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > most)
    throw new UsageError(`--${name}: a whole number from 1 to ${most}, not ${text}`)
  return value
}

function counts(messages: number): { messages: number; peerMessages: number } {
  return { messages, peerMessages: Math.ceil(messages / 4) }
}

function allCases(messages: number): Case[] {
  const plain = { size: 4096, recipients: 1, reconnect: false }
  const share = (part: number) => counts(Math.ceil(messages / part))
  return [
    { ...plain, sessions: 1, ...share(4) },
    { ...plain, sessions: 10, ...share(1) },
    { ...plain, sessions: 50, ...share(1) },
    { ...plain, sessions: 50, reconnect: true, ...share(2) },
    { ...plain, sessions: 20, recipients: 50, ...share(10) },
    { ...plain, sessions: 10, size: 1 << 20, ...share(20) },
  ]
}
