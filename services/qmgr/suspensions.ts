/**
 * Which groups are left alone, until when and why, by a class of replies with `suspend`; over restarts of qmgr too, in a
 * file of the spool: who has blocked us is not asked again because we came back. Written when there is a new one, which
 * is seldom; a file that is lost or cannot be read costs one reply of that kind, so it is not synced, and never in the
 * way of a start. At most MOST are remembered, those that end last.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Log } from '../../shared/base/log.ts'
import { type Infer, integer, list, string, struct } from '../../shared/base/shape.ts'
import { replyShape } from '../../shared/message/outcome.ts'
import type { Suspension } from './group.ts'

const MOST = 1000

const fileShape = list(struct({ group: string, until: integer, reply: replyShape, retryClass: string }), MOST)

/** What the scheduler needs of them. */
export interface Memory {
  of: (group: string, now: number) => Suspension | null
  keep: (group: string, suspension: Suspension, now: number) => void
  lift: (group: string) => void
}

export class Suspensions implements Memory {
  readonly #file: string | null
  readonly #log: Log
  readonly #known = new Map<string, Suspension>()

  /** @param file null: nothing outlives us. */
  constructor(file: string | null, log: Log, now: number) {
    this.#file = file
    this.#log = log
    for (const { group, ...suspension } of this.#read()) {
      if (suspension.until > now) this.#known.set(group, suspension)
    }
  }

  of(group: string, now: number): Suspension | null {
    const known = this.#known.get(group)
    return known && known.until > now ? known : null
  }

  /** All there are now, the longest first. */
  all(now: number): { group: string; suspension: Suspension }[] {
    return [...this.#known]
      .filter(([, { until }]) => until > now)
      .map(([group, suspension]) => ({ group, suspension }))
      .sort((a, b) => b.suspension.until - a.suspension.until)
  }

  /** A later end counts. */
  keep(group: string, suspension: Suspension, now: number): void {
    if (suspension.until <= (this.of(group, now)?.until ?? 0)) return
    this.#known.set(group, suspension)
    this.#write(now)
  }

  lift(group: string): void {
    if (this.#known.delete(group)) this.#write(Date.now())
  }

  #read(): Infer<typeof fileShape> {
    if (this.#file === null) return []
    try {
      const found: unknown = JSON.parse(readFileSync(this.#file, 'utf8'))
      if (fileShape.accepts(found)) return found
      this.#log.warn({ file: this.#file }, 'suspensions cannot be read')
    } catch (error) {
      const absent = (error as NodeJS.ErrnoException).code === 'ENOENT'
      if (!absent) this.#log.warn({ file: this.#file, err: error }, 'suspensions cannot be read')
    }
    return []
  }

  #write(now: number): void {
    const rows = this.all(now).slice(0, MOST)
    this.#known.clear()
    for (const { group, suspension } of rows) this.#known.set(group, suspension)
    if (this.#file === null) return
    try {
      const text = JSON.stringify(rows.map(({ group, suspension }) => ({ group, ...suspension })))
      writeFileSync(`${this.#file}.new`, text, { mode: 0o600 })
      renameSync(`${this.#file}.new`, this.#file)
    } catch (error) {
      this.#log.warn({ file: this.#file, err: error }, 'suspensions cannot be written')
    }
  }
}
