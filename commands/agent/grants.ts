/**
 * What was allowed before, for `confirm first`: this program, by this account, to these recipients, until then.
 * Kept in `grants.json` of the state directory; a file that cannot be read is no grant.
 */
import { readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Infer, integer, list, string, struct } from '../../shared/base/shape.ts'
import { matchesPattern } from '../accounts/account.ts'

const grantShape = struct({ program: string, account: string, recipients: list(string), until: integer })
const fileShape = list(grantShape, 10_000)
export type Grant = Infer<typeof grantShape>

export interface Asked {
  program: string
  account: string
  recipients: readonly string[]
}

/** What a yes covers: these addresses, or all of their domains. An address with a `*` would be a pattern: not kept. */
export function patternsFor(recipients: readonly string[], domains: boolean): string[] {
  const kept = recipients.filter((address) => !address.includes('*'))
  const patterns = domains ? kept.map((address) => `*${address.slice(address.lastIndexOf('@'))}`) : kept
  return [...new Set(patterns.map((pattern) => pattern.toLowerCase()))]
}

/** Each recipient must be covered by a grant that still holds. Recipients of grants are patterns. */
export function isGranted(grants: readonly Grant[], asked: Asked, now: number): boolean {
  if (asked.program === '') return false
  const valid = grants.filter(
    ({ program, account, until }) => program === asked.program && account === asked.account && until > now,
  )
  return asked.recipients.every((address) =>
    valid.some(({ recipients }) => recipients.some((pattern) => matchesPattern(pattern, address))),
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

  async add(asked: Asked, until: number, now: number): Promise<void> {
    const kept = this.#grants.filter((one) => one.until > now)
    this.#grants = [...kept, { ...asked, recipients: [...asked.recipients], until }].slice(-1000)
    await writeFile(`${this.#path}.part`, JSON.stringify(this.#grants), { mode: 0o600 })
    await rename(`${this.#path}.part`, this.#path)
  }
}

function readGrants(path: string): Grant[] {
  try {
    const found: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return fileShape.accepts(found) ? found : []
  } catch {
    return []
  }
}
