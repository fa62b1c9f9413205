/**
 * Rules for the retry schedules of `qmgr`, zones, servers and classes of replies: waits that shrink, a first wait
 * that outlasts the message, a warning that would never come, a class that is for everything or for nothing.
 *
 * A section is judged with what `qmgr` says for all that it leaves out; what a class makes of a zone's schedule is
 * not worked out.
 */
import type { Problems } from './problem.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import type { BlockType } from './section.ts'
import { suggestion } from './suggest.ts'
import { formatDuration } from './units.ts'

interface Schedule {
  retry: number[]
  lifetime: number
  'bounce-lifetime': number
  'delay-warning': number
}

type Partly = { [K in keyof Schedule]: Schedule[K] | null }

export function checkServers(config: Config, problems: Problems): void {
  for (const section of [...config.zone, ...config.server, ...config['retry-class']]) {
    checkSchedule(section, completed(section.values, config.qmgr.values), problems)
  }
  const zones = config.zone.map(({ name }) => name)
  for (const section of config['retry-class']) checkClass(section, zones, problems)
}

function completed(given: Partly, usual: Schedule): Schedule {
  return {
    retry: given.retry ?? usual.retry,
    lifetime: given.lifetime ?? usual.lifetime,
    'bounce-lifetime': given['bounce-lifetime'] ?? usual['bounce-lifetime'],
    'delay-warning': given['delay-warning'] ?? usual['delay-warning'],
  }
}

/** @param values of the section, with what it leaves out. */
export function checkSchedule(section: Section<BlockType>, values: Schedule, problems: Problems): void {
  const { where } = section
  const { retry, lifetime } = values
  const shrinks = retry.findIndex((wait, index) => wait < (retry[index - 1] ?? 0))
  if (where.has('retry') && shrinks !== -1) {
    const [wait = 0, before = 0] = [retry[shrinks], retry[shrinks - 1]]
    const message = `${formatDuration(wait)} comes after ${formatDuration(before)}: the waits must not become shorter`
    problems.error(placeOf(section, 'retry'), message)
  }
  if ((where.has('retry') || where.has('lifetime')) && (retry[0] ?? 0) >= lifetime) {
    const place = placeOf(section, where.has('retry') ? 'retry' : 'lifetime')
    problems.error(place, 'no message would be tried twice', 'the first wait is as long as `lifetime`')
  }
  if (where.has('delay-warning') && values['delay-warning'] >= lifetime) {
    const place = placeOf(section, 'delay-warning')
    problems.warn(place, 'the delay warning would never be sent', '`lifetime` ends before it')
  }
  if (where.has('bounce-lifetime') && values['bounce-lifetime'] > lifetime) {
    problems.warn(placeOf(section, 'bounce-lifetime'), 'bounces live longer than ordinary messages')
  }
}

const criteria = ['codes', 'text', 'match-mx', 'zones'] as const

function checkClass(
  section: Config['retry-class'][number],
  zones: readonly string[],
  problems: Problems,
): void {
  const { at, meant, name, values } = section
  if (!criteria.some((one) => meant.has(one))) {
    const message = `retry-class \`${name}\` is for every reply`
    problems.error(at, message, 'say which: `codes { "4.7.1"; };` or `text "greylist";`')
  }
  if (!['retry', 'lifetime', 'bounce-lifetime', 'delay-warning', 'suspend'].some((one) => meant.has(one))) {
    problems.error(at, `retry-class \`${name}\` changes nothing`, 'add `retry 5m 10m;` or `suspend 10m;`')
  }
  const final = values.codes.find((code) => code.startsWith('5'))
  if (final !== undefined && !meant.has('suspend')) {
    const message = `\`${final}\` is not followed by another attempt`
    problems.error(placeOf(section, 'codes'), message, 'it can only be a reason to `suspend`')
  }
  for (const zone of values.zones.flat()) {
    if (zones.includes(zone)) continue
    problems.error(placeOf(section, 'zones'), `there is no zone \`${zone}\``, suggestion(zone, zones))
  }
}
