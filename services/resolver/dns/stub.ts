/**
 * The stub resolver: a question in, an answer out, from the cache at once or from the servers in a while.
 *
 * `lookup` gives a remembered answer without a promise, because it stands on the hot path. Equal questions that
 * are under way share one exchange. Each server is asked in turn, for as many rounds as configured; SERVFAIL and
 * its like pass on to the next server, NXDOMAIN and an empty answer are answers. Never rejects: an exchange that
 * came to nothing is `failed`, remembered for FAILURE_TTL so that a dead domain does not bind a socket for each
 * recipient. Limits: `cacheEntries` answers, MOST_EXCHANGES questions under way, the rest wait their turn.
 */
import type { Log } from '../../../shared/base/log.ts'
import { type Answer, readReply } from './answer.ts'
import { Cache } from './cache.ts'
import { ask, type Server } from './exchange.ts'
import type { Question, RecordType } from './message.ts'
import type { ServerSet } from './servers.ts'

export interface StubOptions {
  servers: () => ServerSet
  cacheEntries: number
  log: Log
  /** Milliseconds of a clock that does not jump. */
  now: () => number
}

const FAILURE_TTL = 5
/** A time to live of 0 would mean a query for each recipient of one message. */
const SHORTEST_TTL = 1
const MOST_EXCHANGES = 256
const MOST_ALIASES = 8

export class Stub {
  readonly #options: StubOptions
  readonly #cache: Cache<Answer>
  readonly #pending = new Map<string, Promise<Answer>>()
  readonly #queue: (() => void)[] = []
  #underWay = 0
  #queries = 0
  #hits = 0

  constructor(options: StubOptions) {
    this.#options = options
    this.#cache = new Cache(options.cacheEntries)
  }

  /** @param name in lower case, A-labels, no last dot. */
  lookup(name: string, type: RecordType): Answer | Promise<Answer> {
    const key = `${type} ${name}`
    const known = this.#cache.get(key, this.#options.now())
    if (known) {
      this.#hits++
      return known
    }
    const pending = this.#pending.get(key)
    if (pending) return pending
    const asked = this.#ask({ name, type }).then((answer) => {
      this.#pending.delete(key)
      this.#remember(key, answer)
      return answer
    })
    this.#pending.set(key, asked)
    return asked
  }

  figures(): Record<string, number> {
    return { dnsQueries: this.#queries, dnsHits: this.#hits, dnsCached: this.#cache.size }
  }

  #remember(key: string, answer: Answer): void {
    const negative = answer.kind === 'nodata' || answer.kind === 'nxdomain'
    // RFC 2308 section 5: an absence without an SOA is not remembered
    if (negative && answer.ttl === 0) return
    const seconds = answer.kind === 'failed' ? FAILURE_TTL : Math.max(answer.ttl, SHORTEST_TTL)
    this.#cache.set(key, answer, this.#options.now() + seconds * 1000)
  }

  async #ask(question: Question): Promise<Answer> {
    await this.#turn()
    try {
      return await this.#followed(question)
    } catch (error) {
      this.#options.log.error({ err: error, ...question }, 'dns lookup broke')
      return { kind: 'failed', why: String(error), ttl: 0 }
    } finally {
      this.#underWay--
      this.#queue.shift()?.()
    }
  }

  async #turn(): Promise<void> {
    if (this.#underWay >= MOST_EXCHANGES) await new Promise<void>((resolve) => this.#queue.push(resolve))
    this.#underWay++
  }

  async #followed(question: Question): Promise<Answer> {
    let { name } = question
    let ttl = Number.POSITIVE_INFINITY
    for (let n = 0; n < MOST_ALIASES; n++) {
      const reading = await this.#overServers({ name, type: question.type })
      ttl = Math.min(ttl, reading.ttl)
      if (reading.kind !== 'alias') return { ...reading, ttl }
      name = reading.target
    }
    return { kind: 'failed', why: 'too many CNAMEs', ttl: 0 }
  }

  async #overServers(question: Question): Promise<ReturnType<typeof readReply>> {
    const { servers, timeout, attempts } = this.#options.servers()
    let why = 'no name server'
    for (let round = 0; round < attempts; round++) {
      for (const server of servers) {
        const reading = await this.#once(server, question, timeout)
        if (reading.kind !== 'failed') return reading
        why = `${server.address}: ${reading.why}`
      }
    }
    this.#options.log.info({ ...question, why }, 'dns lookup failed')
    return { kind: 'failed', why, ttl: 0 }
  }

  async #once(server: Server, question: Question, timeout: number): Promise<ReturnType<typeof readReply>> {
    this.#queries++
    try {
      return readReply(await ask(server, question, timeout), question)
    } catch (error) {
      return { kind: 'failed', why: error instanceof Error ? error.message : String(error), ttl: 0 }
    }
  }
}
