/**
 * Connections to one policy server, shared by all sessions of this process: each carries one question at a time, and
 * waits for the next one, LONGEST_IDLE_MS at most, as Postfix does it. Servers that fork for each connection live
 * longer that way.
 *
 * A kept connection may have died unnoticed: its question is asked once more, by a new one. Questions change nothing
 * that an answer has not told of, so asking again is safe. Fails: FilterTrouble.
 */
import type { FilterAddress } from '../../../shared/config/filter-slice.ts'
import { Line } from './line.ts'
import { ActionReader } from './policy-answer.ts'

const LONGEST_IDLE_MS = 60_000
const MOST_IDLE = 20

interface Idle {
  line: Line<string>
  end: NodeJS.Timeout
}

export interface PoolPlan {
  address: FilterAddress
  /** Milliseconds: to connect; for each answer. */
  connectTimeout: number
  timeout: number
}

export class PolicyPool {
  readonly #plan: PoolPlan
  readonly #idle: Idle[] = []

  constructor(plan: PoolPlan) {
    this.#plan = plan
  }

  /** The action. */
  async ask(question: Buffer): Promise<string> {
    const kept = this.#take()
    if (kept) {
      try {
        return await this.#askBy(kept, question)
      } catch (error) {
        // one that is silent would be silent again
        if (!kept.hungUp) throw error
      }
    }
    const { address, connectTimeout } = this.#plan
    return this.#askBy(await Line.open(address, new ActionReader(), connectTimeout), question)
  }

  async #askBy(line: Line<string>, question: Buffer): Promise<string> {
    try {
      line.write(question)
      const action = await line.next(this.#plan.timeout)
      this.#keep(line)
      return action
    } catch (error) {
      line.close()
      throw error
    }
  }

  /** The newest one: those that are not needed grow old and go. */
  #take(): Line<string> | null {
    for (let one = this.#idle.pop(); one; one = this.#idle.pop()) {
      clearTimeout(one.end)
      if (!one.line.lost && !one.line.ahead) return one.line
      one.line.close()
    }
    return null
  }

  #keep(line: Line<string>): void {
    if (line.lost || line.ahead || this.#idle.length >= MOST_IDLE) return line.close()
    const one = { line, end: setTimeout(() => this.#drop(one), LONGEST_IDLE_MS).unref() }
    this.#idle.push(one)
  }

  #drop(one: Idle): void {
    this.#idle.splice(this.#idle.indexOf(one), 1)
    one.line.close()
  }

  close(): void {
    for (const one of [...this.#idle]) {
      clearTimeout(one.end)
      this.#drop(one)
    }
  }
}
