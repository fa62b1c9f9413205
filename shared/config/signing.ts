/**
 * `dkim` sections: from what was written to slices, and what no single option can say. Fails: problems, never
 * exceptions.
 */
import { type Facts, staysCaller } from './facts.ts'
import type { dkimBlock } from './options.ts'
import type { Problems } from './problem.ts'
import { checkFile, checkNames } from './rules.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import type { Canonicalization, DkimSlice, SigningSlice } from './signing-slice.ts'
import { isSubmission, type ListenerSlice, type QmgrSlice } from './slices.ts'
import { suggestion } from './suggest.ts'

type Dkim = Section<typeof dkimBlock>

export function buildSigning(config: Config, facts: Facts, problems: Problems): DkimSlice[] {
  checkNames(config.dkim, 'dkim section', problems)
  checkZones(config, problems)
  return config.dkim.flatMap((dkim) => buildOne(dkim, config, facts, problems) ?? [])
}

/** For who has no key; null: nothing is signed. */
export function signingOf(dkim: readonly DkimSlice[]): SigningSlice | null {
  if (dkim.length === 0) return null
  return {
    domains: [...new Set(dkim.flatMap(({ domains }) => domains))],
    bodies: [...new Set(dkim.map(({ body }) => body))],
  }
}

/** Whoever may read the keys signs reports. */
export function reportSigning(
  { processes }: Config,
  facts: Facts,
  dkim: readonly DkimSlice[],
  listeners: readonly ListenerSlice[],
): QmgrSlice['signing'] {
  const signing = signingOf(dkim)
  const user = facts.accounts.user(processes.values['submission-user'])
  const relayed = listeners.some(({ kind, sign }) => sign && !isSubmission(kind))
  return signing && { ...signing, relayed, uid: staysCaller(facts) ? null : (user?.uid ?? -1) }
}

function buildOne(dkim: Dkim, config: Config, facts: Facts, problems: Problems): DkimSlice | null {
  const { name, values } = dkim
  const zones = config.zone.flatMap((zone) => (zone.values.sign.includes(name) ? [zone.name] : []))
  const domains = [...new Set([...values.domains, ...zones])]
  if (domains.length === 0 && !dkim.meant.has('domains'))
    problems.error(dkim.at, `dkim \`${name}\` signs for nobody`, 'add `domains { "example.org"; };`')
  const from = sourceOf(dkim, facts, problems)
  const [header, body] = values.canonicalization.split('/') as [Canonicalization, Canonicalization]
  return (
    from && {
      ...{ name, domains, from, header, body },
      senders: values.senders,
      algorithm: values.algorithm,
      lifetime: values.lifetime,
      onFailure: values['on-failure'],
    }
  )
}

function sourceOf(dkim: Dkim, facts: Facts, problems: Problems): DkimSlice['from'] | null {
  const { name, values, meant } = dkim
  const { directory, key, selector } = values
  if (meant.has('directory')) {
    const other = (['key', 'selector'] as const).find((one) => meant.has(one))
    if (other !== undefined)
      problems.error(placeOf(dkim, other), `dkim \`${name}\` has its keys in a \`directory\` already`)
    if (directory === null || other !== undefined) return null
    if (facts.readable(directory) === 'absent')
      problems.warn(
        placeOf(dkim, 'directory'),
        `there is no ${directory}`,
        `run \`posthorn key generate ${name}\``,
      )
    return { kind: 'directory', path: directory }
  }
  if (!meant.has('key') || !meant.has('selector')) {
    const hint = 'add `selector "…";` and `key "PATH";`, or `directory "PATH";`'
    problems.error(dkim.at, `dkim \`${name}\` has no key`, hint)
    return null
  }
  if (facts.readable(key ?? '/') === 'absent')
    problems.warn(placeOf(dkim, 'key'), `there is no ${key}`, `run \`posthorn key generate ${name}\``)
  else checkFile(key, placeOf(dkim, 'key'), facts, problems)
  return key !== null && selector !== null ? { kind: 'file', selector, path: key } : null
}

function checkZones(config: Config, problems: Problems): void {
  const names = config.dkim.map(({ name }) => name)
  for (const zone of config.zone) {
    const at = placeOf(zone, 'sign')
    for (const wanted of zone.values.sign.filter((one) => !names.includes(one)))
      problems.error(at, `there is no dkim section \`${wanted}\``, suggestion(wanted, names))
    if (zone.values.sign.length > 0 && !/^[^*.]/.test(zone.name))
      problems.error(at, `zone "${zone.name}" is no domain to sign for`, '`domains` in `dkim` says for which')
  }
}
