/**
 * What was allowed before, for `confirm first`: this program, by this account, to these recipients, until then.
 * Kept in `grants.json` of the state directory, written by the agent alone; a file that cannot be read is no grant.
 * A grant is named by what it allows, so that its name outlives the agent and other grants.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type Infer, integer, list, string, struct } from '../../shared/base/shape.ts'
import { matchesRecipient } from '../accounts/patterns.ts'

const grantShape = struct({ program: string, account: string, recipients: list(string), until: integer })
const fileShape = list(grantShape, 10_000)
export type Grant = Infer<typeof grantShape>

/** Of a grant that holds until it is revoked: the last time there is, in milliseconds since 1970. */
export const ALWAYS = 8.64e15

export function grantId({ program, account, recipients }: Asked): string {
  const what = createHash('sha256').update(JSON.stringify([program, account, recipients]))
  return `G${what.digest('hex').slice(0, 10).toUpperCase()}`
}

export interface Asked {
  program: string
  account: string
  recipients: readonly string[]
}

/** Each recipient must be covered by a grant that still holds. Recipients of grants are patterns. */
export function isGranted(grants: readonly Grant[], asked: Asked, now: number): boolean {
  if (asked.program === '') return false
  const valid = grants.filter(
    ({ program, account, until }) => program === asked.program && account === asked.account && until > now,
  )
  return asked.recipients.every((address) =>
    valid.some(({ recipients }) => recipients.some((pattern) => matchesRecipient(pattern, address))),
  )
}

export class Grants {
  readonly #path: string
  #grants: Grant[]

  constructor(state: string) {
    this.#path = join(state, 'grants.json')
    this.#grants = readGrants(this.#path)
  }

  covers(asked: Asked, now: number): boolean {
    return isGranted(this.#grants, asked, now)
  }

  /** What is allowed anew takes the place of the same, for the longer time. */
  async add(asked: Asked, until: number, now: number): Promise<void> {
    const id = grantId(asked)
    const before = this.#grants.find((one) => grantId(one) === id)?.until ?? 0
    const others = this.#grants.filter((one) => one.until > now && grantId(one) !== id)
    const { program, account, recipients } = asked
    const added = { program, account, recipients: [...recipients], until: Math.max(until, before) }
    await this.#write([...others, added].slice(-MOST))
  }

  /** @param id null: all. Gives how many there were. */
  async revoke(id: string | null): Promise<number> {
    const kept = id === null ? [] : this.#grants.filter((one) => grantId(one) !== id.toUpperCase())
    const count = this.#grants.length - kept.length
    if (count > 0) await this.#write(kept)
    return count
  }

  /** Counts only when it is on stable storage: what is revoked must not come back. */
  async #write(grants: Grant[]): Promise<void> {
    const file = await open(`${this.#path}.part`, 'w', 0o600)
    try {
      await file.writeFile(JSON.stringify(grants))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(`${this.#path}.part`, this.#path)
    this.#grants = grants
  }
}

const MOST = 1000

/** For anybody of the user's; the oldest first. */
export function listGrants(state: string, now: number): Grant[] {
  return readGrants(join(state, 'grants.json')).filter(({ until }) => until > now)
}

function readGrants(path: string): Grant[] {
  try {
    const found: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return fileShape.accepts(found) ? found : []
  } catch {
    return []
  }
}
