/**
 * How a map that is elsewhere is asked: so many questions at one time, each with a deadline, the others in a queue;
 * and after trouble a rest that grows, so that a dead server costs neither time nor connections. A map that answers
 * again is asked as before.
 *
 * Never rejects. Limits: MOST_WAITING questions wait, the rest is trouble at once.
 */
import { type MapAnswer, trouble } from './answer.ts'

const MOST_WAITING = 1000
const FIRST_REST_MS = 100
const LONGEST_REST_MS = 5000

export interface GateOptions {
  /** Milliseconds for one question. */
  timeout: number
  connections: number
  /** Milliseconds of a clock that does not jump. */
  now: () => number
}

export type Task = (signal: AbortSignal) => Promise<MapAnswer>

export class Gate {
  readonly #options: GateOptions
  readonly #waiting: (() => void)[] = []
  #underWay = 0
  #rest = 0
  #restUntil = Number.NEGATIVE_INFINITY
  #why = ''

  constructor(options: GateOptions) {
    this.#options = options
  }

  async ask(task: Task): Promise<MapAnswer> {
    if (this.#resting()) return trouble(this.#why)
    if (this.#underWay >= this.#options.connections) {
      if (this.#waiting.length >= MOST_WAITING) return trouble('too many questions wait for this map')
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#underWay++
    try {
      return this.#resting() ? trouble(this.#why) : this.#heard(await this.#bounded(task))
    } finally {
      this.#underWay--
      this.#waiting.shift()?.()
    }
  }

  #resting(): boolean {
    return this.#options.now() < this.#restUntil
  }

  async #bounded(task: Task): Promise<MapAnswer> {
    const { timeout } = this.#options
    const control = new AbortController()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<MapAnswer>((resolve) => {
      timer = setTimeout(() => resolve(trouble(`no answer in ${timeout} ms`)), timeout)
    })
    try {
      return await Promise.race([task(control.signal).catch(trouble), late])
    } finally {
      clearTimeout(timer)
      control.abort()
    }
  }

  #heard(answer: MapAnswer): MapAnswer {
    if (answer.kind !== 'trouble') this.#rest = 0
    else {
      this.#rest = Math.min(Math.max(2 * this.#rest, FIRST_REST_MS), LONGEST_REST_MS)
      this.#restUntil = this.#options.now() + this.#rest
      this.#why = answer.why
    }
    return answer
  }
}
