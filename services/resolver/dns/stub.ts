/**
 * The stub resolver: a question in, an answer out, from the cache at once or from the servers in a while.
 *
 * `lookup` gives a remembered answer without a promise, because it stands on the hot path. Equal questions that
 * are under way share one exchange. Never rejects: an exchange that came to nothing is `failed`, remembered for
 * FAILURE_TTL so that a dead domain does not bind a socket for each recipient; where no server could be asked at all,
 * the last known records are given once more instead (RFC 8767).
 * Limits: the cache's, MOST_EXCHANGES questions under way, MOST_WAITING that wait their turn.
 * Next: `rounds.ts` (whom to ask), `answer-cache.ts`.
 */
import type { Log } from '../../../shared/base/log.ts'
import type { Answer } from './answer.ts'
import { AnswerCache } from './answer-cache.ts'
import type { Question, RecordType } from './message.ts'
import { Rounds } from './rounds.ts'
import type { ServerSet } from './servers.ts'

export interface StubOptions {
  servers: () => ServerSet
  cacheEntries: number
  /** Of memory that they may take, about. */
  cacheOctets: number
  log: Log
  /** Milliseconds of a clock that does not jump. */
  now: () => number
}

const FAILURE_TTL = 5
/** A time to live of 0 would mean a query for each recipient of one message. */
const SHORTEST_TTL = 1
const MOST_EXCHANGES = 256
/** Behind these it would take longer than anybody waits. */
const MOST_WAITING = 20_000
const MOST_ALIASES = 8

export class Stub {
  readonly #options: StubOptions
  readonly #cache: AnswerCache
  readonly #rounds: Rounds
  readonly #pending = new Map<string, Promise<Answer>>()
  #waiting: (() => void)[] = []
  #underWay = 0
  #hits = 0
  #stale = 0
  #generation = 0

  constructor(options: StubOptions) {
    this.#options = options
    this.#cache = new AnswerCache({ entries: options.cacheEntries, octets: options.cacheOctets })
    this.#rounds = new Rounds(options)
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
    const generation = this.#generation
    const asked = this.#ask({ name, type }).then((answer) => {
      if (this.#pending.get(key) === asked) this.#pending.delete(key)
      return generation === this.#generation ? this.#settle(key, answer) : answer
    })
    this.#pending.set(key, asked)
    return asked
  }

  /** Everything is asked anew: whoever answers now is to be believed more than who did before. */
  forget(): void {
    this.#generation++
    this.#cache.clear()
    this.#pending.clear()
  }

  figures(): Record<string, number> {
    return {
      dnsQueries: this.#rounds.queries,
      dnsHits: this.#hits,
      dnsStale: this.#stale,
      dnsCached: this.#cache.size,
      dnsCachedOctets: this.#cache.octets,
    }
  }

  #settle(key: string, answer: Answer): Answer {
    const now = this.#options.now()
    if (answer.kind !== 'failed') {
      const negative = answer.kind !== 'records'
      // RFC 2308 section 5: an absence without an SOA is not remembered
      if (!negative || answer.ttl > 0) this.#cache.set(key, answer, Math.max(answer.ttl, SHORTEST_TTL), now)
      return answer
    }
    const stale = answer.trouble === 'said' ? undefined : this.#cache.revive(key, now)
    if (!stale) {
      this.#cache.set(key, answer, FAILURE_TTL, now)
      return answer
    }
    this.#stale++
    this.#options.log.info({ question: key, why: answer.why }, 'dns answer of old, nobody gives a new one')
    return stale
  }

  async #ask(question: Question): Promise<Answer> {
    if (this.#waiting.length >= MOST_WAITING)
      return { kind: 'failed', why: 'too many questions', ttl: 0, trouble: 'silent' }
    await this.#turn()
    try {
      return await this.#followed(question)
    } catch (error) {
      this.#options.log.error({ err: error, ...question }, 'dns lookup broke')
      return { kind: 'failed', why: String(error), ttl: 0, trouble: 'said' }
    } finally {
      this.#passTurn()
    }
  }

  async #turn(): Promise<void> {
    if (this.#underWay < MOST_EXCHANGES) {
      this.#underWay++
      return
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** A place goes straight to who waits longest. */
  #passTurn(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#underWay--
  }

  async #followed(question: Question): Promise<Answer> {
    let { name } = question
    let ttl = Number.POSITIVE_INFINITY
    let secure = true
    for (let n = 0; n < MOST_ALIASES; n++) {
      const reading = await this.#rounds.ask({ name, type: question.type })
      if (reading.kind === 'failed') return reading
      ttl = Math.min(ttl, reading.ttl)
      // RFC 4035 section 3.2.3: of the whole chain, or of nothing
      secure &&= reading.secure
      if (reading.kind !== 'alias') return { ...reading, ttl, secure }
      name = reading.target
    }
    return { kind: 'failed', why: 'too many CNAMEs', ttl: 0, trouble: 'said' }
  }
}
