/**
 * Policies that were fetched, a file for each domain, so that they outlive a restart: an attacker who waits for one must
 * not find us without (RFC 8461 section 10.2). All are in memory; a file is written when a policy comes.
 *
 * Fails: a file that cannot be read or makes no sense is taken for none; one that cannot be written is told of by the
 * caller's log. Limit: MOST domains, those that would expire first go.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Infer, integer, list, oneOf, string, struct } from '../../../shared/base/shape.ts'

const storedShape = struct({
  id: string,
  mode: oneOf('enforce', 'testing', 'none'),
  mx: list(string, 100),
  maxAge: integer,
  /** Milliseconds since 1970. */
  fetchedAt: integer,
})
export type Stored = Infer<typeof storedShape>

const MOST = 10_000
const ENDING = '.json'

export class StsStore {
  readonly #directory: string
  readonly #known = new Map<string, Stored>()

  constructor(directory: string, now: number) {
    this.#directory = directory
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    for (const name of readdirSync(directory)) {
      if (!name.endsWith(ENDING)) continue
      const stored = this.#read(name)
      if (stored && expiryOf(stored) > now) this.#known.set(name.slice(0, -ENDING.length), stored)
      else rmSync(join(directory, name), { force: true })
    }
  }

  /** What holds still. */
  get(domain: string, now: number): Stored | null {
    const stored = this.#known.get(domain)
    if (!stored) return null
    if (expiryOf(stored) > now) return stored
    this.#forget(domain)
    return null
  }

  put(domain: string, stored: Stored): void {
    this.#known.set(domain, stored)
    if (this.#known.size > MOST) this.#forget(this.#soonest())
    const file = join(this.#directory, `${domain}${ENDING}`)
    writeFileSync(`${file}.new`, JSON.stringify(stored), { mode: 0o600 })
    renameSync(`${file}.new`, file)
  }

  all(): [string, Stored][] {
    return [...this.#known]
  }

  #read(name: string): Stored | null {
    try {
      const found: unknown = JSON.parse(readFileSync(join(this.#directory, name), 'utf8'))
      return storedShape.accepts(found) ? found : null
    } catch {
      return null
    }
  }

  #soonest(): string {
    let soonest = { domain: '', expiry: Number.POSITIVE_INFINITY }
    for (const [domain, stored] of this.#known) {
      const expiry = expiryOf(stored)
      if (expiry < soonest.expiry) soonest = { domain, expiry }
    }
    return soonest.domain
  }

  #forget(domain: string): void {
    this.#known.delete(domain)
    rmSync(join(this.#directory, `${domain}${ENDING}`), { force: true })
  }
}

function expiryOf({ fetchedAt, maxAge }: Stored): number {
  return fetchedAt + maxAge * 1000
}
