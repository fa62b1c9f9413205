/** The `srs` section: what the resolver is told of it. Fails: problems, never exceptions. */
import type { Facts } from './facts.ts'
import type { Problems } from './problem.ts'
import { checkFile } from './rules.ts'
import { type Config, placeOf } from './schema.ts'

export interface SrsSlice {
  domain: string
  secret: string
}

export function buildSrs({ srs, zone }: Config, facts: Facts, problems: Problems): SrsSlice | null {
  const { domain, secret } = srs.values
  const given = (['domain', 'secret'] as const).filter((option) => srs.meant.has(option))
  const missing = (['domain', 'secret'] as const).find((option) => !given.includes(option))
  if (given.length === 1 && missing)
    problems.error(srs.at, `\`srs\` has no \`${missing}\``, 'it needs `domain "…";` and `secret "PATH";`')
  checkFile(secret, placeOf(srs, 'secret'), facts, problems)
  if (domain === null || secret === null) return null
  const home = zone.find(({ name }) => name === domain)
  if (home?.values.type !== 'local')
    problems.error(placeOf(srs, 'domain'), `${domain} is no local zone: reports would not come back here`)
  return { domain, secret }
}
