/**
 * `filter` sections as listeners use them. Fails: problems, never exceptions.
 */

import type { FilterSlice } from './filter-slice.ts'
import type { filterBlock, listenerBlock } from './options.ts'
import type { Problems } from './problem.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import { suggestion } from './suggest.ts'

type Filter = Section<typeof filterBlock>

export function filtersOf(
  listener: Section<typeof listenerBlock>,
  config: Config,
  problems: Problems,
): FilterSlice[] {
  const names = listener.values.filters
  const at = placeOf(listener, 'filters')
  const twice = names.find((name, n) => names.indexOf(name) < n)
  if (twice !== undefined) problems.error(at, `filter \`${twice}\` would be asked twice`)
  return names.flatMap((wanted) => {
    const found = config.filter.find(({ name }) => name === wanted)
    if (found) return sliceOf(found) ?? []
    const known = [...new Set(config.filter.map(({ name }) => name))]
    const hint = suggestion(wanted, known) ?? `add \`filter "${wanted}" { milter "/run/…"; };\``
    problems.error(at, `there is no filter \`${wanted}\``, hint)
    return []
  })
}

function sliceOf({ name, values }: Filter): FilterSlice | null {
  const by = meansOf(values)
  return (
    by && {
      name,
      by,
      onFailure: values['on-failure'],
      connectTimeout: values['connect-timeout'],
      timeout: values.timeout,
      contentTimeout: values['content-timeout'],
    }
  )
}

const means = ['milter', 'policy', 'rspamd'] as const

function meansOf(values: Filter['values']): FilterSlice['by'] | null {
  const { milter, policy, rspamd } = values
  if (milter) return { kind: 'milter', address: milter }
  if (rspamd) return { kind: 'rspamd', address: rspamd }
  const stages = values['policy-stages'].flat()
  return policy && { kind: 'policy', address: policy, stages: stages.length > 0 ? stages : ['rcpt'] }
}

/** What no single option can say. */
export function checkFilter(filter: Filter, problems: Problems): void {
  const [first, second] = means.filter((one) => filter.meant.has(one))
  if (first === undefined)
    problems.error(
      filter.at,
      `filter \`${filter.name}\` does not say whom to ask`,
      'add `milter "SOCKET";`, or `policy` or `rspamd`',
    )
  if (second !== undefined)
    problems.error(placeOf(filter, second), `filter \`${filter.name}\` asks by \`${first}\` already`)
  if (filter.meant.has('policy-stages') && !filter.meant.has('policy') && first !== undefined)
    problems.error(placeOf(filter, 'policy-stages'), `filter \`${filter.name}\` is no policy server`)
}
