/**
 * Load that keeps books: many sessions send specimens until told to stop, through every broken connection, and
 * the ledger says of each what the server promised.
 *
 * accepted: 250 after the dot, so it must arrive. doubtful: no reply came back, or a 4xx, which a server that loses
 * its queue in mid-commit must say of mail it may yet find; it may arrive once. refused: a 5xx, must not arrive.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { openSession, type SmtpClient, type Target, transact } from './client.ts'
import { makeSpecimen } from './specimen.ts'
import { until } from './wait.ts'

const AFTER_TROUBLE_MS = 30

export interface LoadOptions {
  target: Target
  sessions: number
  octets: (n: number) => number
  from?: string
  /** Recipients of the n-th message. */
  to: (n: number) => string[]
  /** Pause between two messages of a session: bounds what a long test piles up. */
  pauseMs?: number
  /** Stop by itself after so many accepted messages. */
  limit?: number
  /** Books that go on from an earlier load. */
  ledger?: Ledger
}

export interface Ledger {
  accepted: Set<string>
  doubtful: Set<string>
  refused: Set<string>
  /** Connections that broke or were refused, by what was heard. */
  troubles: Map<string, number>
}

export interface Load {
  ledger: Ledger
  /** Resolves when so many more messages than now have been accepted: the service works. */
  progressed: (more: number) => Promise<void>
  stop: () => Promise<Ledger>
  /** Resolves when `limit` is reached. */
  finished: Promise<unknown>
}

export function startLoad(options: LoadOptions): Load {
  const ledger = options.ledger ?? emptyLedger()
  const state = { stopped: false, n: 0 }
  const runs = Array.from({ length: options.sessions }, () => keepSending(options, ledger, state))
  const finished = Promise.all(runs)
  return {
    ledger,
    finished,
    progressed: async (more) => {
      const goal = ledger.accepted.size + more
      const troubles = () => JSON.stringify([...ledger.troubles])
      await until(`${more} more accepted messages`, () => ledger.accepted.size >= goal, 60_000).catch((e) => {
        throw new Error(`${e}; troubles: ${troubles()}`)
      })
    },
    stop: async () => {
      state.stopped = true
      await finished
      return ledger
    },
  }
}

function emptyLedger(): Ledger {
  return { accepted: new Set(), doubtful: new Set(), refused: new Set(), troubles: new Map() }
}

interface State {
  stopped: boolean
  n: number
}

async function keepSending(options: LoadOptions, ledger: Ledger, state: State): Promise<void> {
  while (!state.stopped) {
    try {
      await sendInOneSession(options, ledger, state)
    } catch (error) {
      count(ledger, error instanceof Error ? error.message : String(error))
      await pause(AFTER_TROUBLE_MS)
    }
  }
}

async function sendInOneSession(options: LoadOptions, ledger: Ledger, state: State): Promise<void> {
  const client = await openSession(options.target)
  try {
    while (!state.stopped && !client.ended) {
      await sendOne(options, ledger, state, client)
      if (ledger.accepted.size >= (options.limit ?? Number.POSITIVE_INFINITY)) state.stopped = true
      if (options.pauseMs) await pause(options.pauseMs)
    }
    await client.quit()
  } finally {
    client.destroy()
  }
}

async function sendOne(
  options: LoadOptions,
  ledger: Ledger,
  state: State,
  client: SmtpClient,
): Promise<void> {
  const n = state.n++
  const { mark, content } = makeSpecimen(options.octets(n))
  const mail = { from: options.from ?? 'load@client.example', to: options.to(n), content }
  const reply = await transact(client, mail, () => ledger.doubtful.add(mark))
  if (reply.code < 400 || reply.code >= 500) ledger.doubtful.delete(mark)
  if (reply.code === 250) return void ledger.accepted.add(mark)
  if (reply.code >= 500) ledger.refused.add(mark)
  count(ledger, `${reply.code} ${reply.text}`.replace(/ [STA][0-9A-Z]{6,}/g, ' ID'))
  if (reply.code !== 421) await client.say('RSET')
}

function count(ledger: Ledger, what: string): void {
  ledger.troubles.set(what, (ledger.troubles.get(what) ?? 0) + 1)
}
