/** Access rules: from `access` sections to what a listener is told. Fails: problems, never exceptions. */
import { checkMap } from './maps.ts'
import { flattenClients, type MatchContext } from './match-list.ts'
import type { listenerBlock } from './options.ts'
import type { Problems } from './problem.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import type { AccessRuleSlice } from './slices.ts'
import { formatPlace } from './source.ts'
import { suggestion } from './suggest.ts'

/** The rules of all the sections that the listener names, in order. */
export function accessOf(
  listener: Section<typeof listenerBlock>,
  { access }: Config,
  match: MatchContext,
): AccessRuleSlice[] {
  return listener.values.access.flat().flatMap((wanted) => {
    const found = access.find(({ name }) => name === wanted)
    if (found) return rulesOf(found, match)
    const names = access.map(({ name }) => name)
    const hint = suggestion(wanted, names) ?? `add \`access "${wanted}" { rule …; };\``
    match.problems.error(placeOf(listener, 'access'), `there is no access section \`${wanted}\``, hint)
    return []
  })
}

function rulesOf({ values }: Config['access'][number], match: MatchContext): AccessRuleSlice[] {
  return values.rule.map(({ at, client, ...rest }) => ({
    place: formatPlace(at),
    client: client && flattenClients(client, match),
    ...rest,
  }))
}

export function checkAccess(config: Config, problems: Problems): void {
  const { access, listener } = config
  const used = new Set(listener.flatMap(({ values }) => values.access.flat()))
  for (const section of access)
    for (const { at, maps } of section.values.rule)
      for (const { map: name } of maps) checkMap(name, at, config, problems)
  for (const { name, at } of access)
    if (!used.has(name))
      problems.warn(at, `no listener uses access \`${name}\``, `add \`access "${name}";\` to a listener`)
}
