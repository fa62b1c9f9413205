/**
 * How much mail is on disk because the active queue was full when it came: counted in memory, set right whenever
 * the store says that nobody is due. After a restart it begins at nothing, since all of it is read back anyway.
 */
import type { Due } from './store.ts'

/** `grows` compares with so many ticks ago. */
const TICKS = 10

export class Spill {
  messages = 0
  octets = 0
  readonly #history: number[] = []

  out(octets: number): void {
    this.messages++
    this.octets += octets
  }

  /** These were taken from the store; none of them: whatever spilled is back. */
  back(found: readonly Due[]): void {
    if (found.length === 0) {
      this.messages = 0
      this.octets = 0
    }
    for (const due of found) if (hadSpilled(due)) this.#one(due.content?.length ?? 0)
  }

  /** Once a second. */
  tick(): void {
    this.#history.push(this.messages)
    if (this.#history.length > TICKS) this.#history.shift()
  }

  get grows(): boolean {
    return this.messages > (this.#history[0] ?? 0)
  }

  #one(octets: number): void {
    this.messages = Math.max(0, this.messages - 1)
    this.octets = Math.max(0, this.octets - octets)
  }
}

/** Never tried, due since it came: `intake.ts` writes such rows. Of several recipients the first counts. */
function hadSpilled({ rows }: Due): boolean {
  return rows.some(
    ({ n, attempts, nextAttemptAt, receivedAt }) => n === 0 && attempts === 0 && nextAttemptAt === receivedAt,
  )
}
