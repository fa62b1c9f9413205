/**
 * One question to all name servers, in turn and in rounds, until one of them answers.
 *
 * NXDOMAIN and an empty answer are answers; SERVFAIL and its like, silence and closed ports pass on to the next
 * server. A SERVFAIL of a server that is trusted with DNSSEC may mean that the answer is forged, so it passes on to
 * servers of that kind only: whoever does not validate would give the forgery. Rounds wait for each other, longer each
 * time. Which server answers of late is remembered (`ranking.ts`). Never rejects.
 */
import { setTimeout } from 'node:timers/promises'
import type { Log } from '../../../shared/base/log.ts'
import { type Reading, readReply, type Trouble } from './answer.ts'
import { ask, type Server, Unanswered } from './exchange.ts'
import type { Question } from './message.ts'
import { patienceIn, Ranking } from './ranking.ts'
import type { ServerSet } from './servers.ts'

export interface RoundsOptions {
  servers: () => ServerSet
  log: Log
  now: () => number
}

type Failure = Extract<Reading, { kind: 'failed' }>

/** Between the first round and the second; then twice as long. */
const FIRST_PAUSE_MS = 50

/** What counts when servers fail differently: one that has looked knows more than one that is away. */
const WEIGHT: Readonly<Record<Trouble, number>> = { said: 2, silent: 1, unreachable: 0 }

export class Rounds {
  readonly #options: RoundsOptions
  readonly #ranking = new Ranking()
  #queries = 0

  constructor(options: RoundsOptions) {
    this.#options = options
  }

  get queries(): number {
    return this.#queries
  }

  async ask(question: Question): Promise<Reading> {
    const { log, now, servers: find } = this.#options
    const { servers, timeout, attempts } = find()
    let failure: Failure = { kind: 'failed', why: 'no name server', ttl: 0, trouble: 'unreachable' }
    let validated = false
    for (let round = 0; round < attempts; round++) {
      if (round > 0) await setTimeout(FIRST_PAUSE_MS * 2 ** (round - 1))
      const patience = patienceIn(round, timeout, servers.length)
      for (const server of this.#ranking.order(servers, now())) {
        if (validated && !server.trusted) continue
        const reading = await this.#once(server, question, patience)
        if (reading.kind !== 'failed') return reading
        validated ||= server.trusted && reading.trouble === 'said'
        failure = worse(failure, { ...reading, why: `${server.address}: ${reading.why}` })
      }
    }
    log.info({ ...question, why: failure.why }, 'dns lookup failed')
    return failure
  }

  async #once(server: Server, question: Question, timeout: number): Promise<Reading> {
    this.#queries++
    try {
      const reply = await ask(server, question, timeout)
      this.#ranking.answered(server)
      return readReply(reply, question, server.trusted)
    } catch (error) {
      const trouble = error instanceof Unanswered ? error.trouble : 'said'
      if (trouble !== 'said') this.#ranking.failed(server, this.#options.now())
      return { kind: 'failed', why: error instanceof Error ? error.message : String(error), ttl: 0, trouble }
    }
  }
}

function worse(before: Failure, after: Failure): Failure {
  return WEIGHT[after.trouble] >= WEIGHT[before.trouble] ? after : before
}
