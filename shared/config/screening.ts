/**
 * `dnsbl`, `dnswl` and `screening` sections: what listeners are told of them, and what the resolver is. Fails:
 * problems, never exceptions.
 */
import { join } from 'node:path'
import type { SignName } from './client-slices.ts'
import { flattenClients, type MatchContext } from './match-list.ts'
import type { listenerBlock, screeningBlock } from './options.ts'
import type { Problems } from './problem.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import { numberOf } from './screening-values.ts'
import type { DnsListSlice, GreylistSlice, ScreeningFacts, ScreeningSlice } from './slices.ts'
import { suggestion } from './suggest.ts'

type Screening = Section<typeof screeningBlock>

const heloSigns = [
  'helo-invalid',
  'helo-own-name',
  'helo-other-address',
  'helo-unknown',
  'helo-unconfirmed',
] as const satisfies readonly SignName[]
const signs: readonly SignName[] = ['no-reverse-name', 'unconfirmed-reverse-name', ...heloSigns]

export function screeningOf(
  listener: Section<typeof listenerBlock>,
  { screening }: Config,
  match: MatchContext,
): ScreeningSlice | null {
  const wanted = listener.values.screening
  if (wanted === null) return null
  const found = screening.find(({ name }) => name === wanted)
  if (found) return screeningSlice(found, match)
  const names = screening.map(({ name }) => name)
  const hint = suggestion(wanted, names) ?? `add \`screening "${wanted}" { … };\``
  match.problems.error(placeOf(listener, 'screening'), `there is no screening \`${wanted}\``, hint)
  return null
}

function screeningSlice({ name, values }: Screening, match: MatchContext): ScreeningSlice {
  return {
    name,
    when: values.when,
    exempt: flattenClients(values.exempt, match),
    tagScore: values['tag-score'],
    deferScore: values['defer-score'],
    rejectScore: values['reject-score'],
    greylistScore: values['greylist-score'],
    helo: heloSigns.some((sign) => values[sign] > 0),
  }
}

/** For the resolver: those that a listener uses. */
export function buildScreenings(config: Config, problems: Problems): ScreeningFacts[] {
  const used = new Set(config.listener.map(({ values }) => values.screening))
  return config.screening.flatMap((screening) => {
    const { name, values } = screening
    const lists = listsOf(screening, config, problems)
    if (!used.has(name)) return []
    const scores = Object.fromEntries(signs.map((sign) => [sign, values[sign]])) as ScreeningFacts['scores']
    return [{ name, lists, timeout: values.timeout, scores }]
  })
}

/** Null where nobody is greylisted. */
export function buildGreylist(
  { greylist, listener, screening }: Config,
  directory: string,
): GreylistSlice | null {
  const used = new Set(listener.map(({ values }) => values.screening))
  if (!screening.some(({ name, values }) => used.has(name) && values['greylist-score'] !== null)) return null
  const { values } = greylist
  return {
    directory: join(directory, 'greylist'),
    delay: values.delay,
    retryWithin: values['retry-within'],
    keep: values.keep,
    knownAfter: values['known-after'],
    entries: values.entries,
  }
}

function listsOf(screening: Screening, config: Config, problems: Problems): DnsListSlice[] {
  const all = [
    ...config.dnsbl.map((list) => listSlice(list, 1)),
    ...config.dnswl.map((list) => listSlice(list, -1)),
  ]
  const wanted = screening.values.lists.flat()
  if (wanted.length === 0) return all
  const zones = all.map(({ zone }) => zone)
  return wanted.flatMap((one) => {
    const found = all.find(({ zone }) => zone === one)
    if (found) return [found]
    const hint = suggestion(one, zones) ?? `add \`dnsbl "${one}" { … };\``
    problems.error(placeOf(screening, 'lists'), `there is no dnsbl or dnswl \`${one}\``, hint)
    return []
  })
}

/** By 127.255.255.x some lists say that the question was not welcome. */
const USUAL_REPLIES = [{ from: numberOf('127.0.0.0'), to: numberOf('127.254.255.255') }]

function listSlice(
  { name, values }: Config['dnsbl'][number] | Config['dnswl'][number],
  sign: 1 | -1,
): DnsListSlice {
  const given = values.reply.flat()
  return { zone: name, score: sign * values.score, replies: given.length > 0 ? given : USUAL_REPLIES }
}

/** What no single option can say. */
export function checkScreening(config: Config, problems: Problems): void {
  const used = new Set(config.listener.map(({ values }) => values.screening))
  for (const screening of config.screening) {
    const { name, values, at } = screening
    if (!used.has(name))
      problems.warn(
        at,
        `no listener uses screening \`${name}\``,
        `add \`screening "${name}";\` to a listener`,
      )
    const { 'defer-score': defer, 'reject-score': reject } = values
    const marks = screening.meant.has('tag-score') || screening.meant.has('greylist-score')
    if (defer === null && reject === null && !marks)
      problems.warn(
        at,
        `screening \`${name}\` decides nothing`,
        'add `reject-score`, `defer-score`, `greylist-score` or `tag-score`',
      )
    if (defer !== null && reject !== null && defer >= reject)
      problems.error(
        placeOf(screening, 'defer-score'),
        'nobody would be deferred: `reject-score` is reached before',
      )
  }
  const { delay, 'retry-within': within } = config.greylist.values
  if (delay >= within)
    problems.error(
      placeOf(config.greylist, config.greylist.where.has('delay') ? 'delay' : 'retry-within'),
      'nobody would ever pass: `retry-within` is over before `delay`',
    )
  if (config.screening.length > 0) return
  for (const list of [...config.dnsbl, ...config.dnswl])
    problems.warn(
      list.at,
      `nobody asks \`${list.name}\``,
      'add a `screening` section, and name it in a listener',
    )
}
