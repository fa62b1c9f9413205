/** The load slice of qmgr: marks as they are, limits of each kind of client in one list, lists made flat. */
import { flatten, type MatchContext } from './match-list.ts'
import { buildPolicyLimits } from './policies.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import type { BlockType } from './section.ts'
import type { LimitsSlice, LoadSlice, Quota, ThrottleSlice } from './slices.ts'
import type { Span } from './source.ts'
import { formatDuration } from './units.ts'

/** As many as Postfix takes from one client. */
const USUAL_CLIENT: Quota[] = [{ measure: 'connections', count: 50, period: null }]
/** More than any program has a use for at one time, and a fraction of what there is for all. */
export const USUAL_UID: Quota[] = [{ measure: 'connections', count: 100, period: null }]

/** @param uidOf none: there is no such user, which was reported. */
export function buildLoad(
  config: Config,
  match: MatchContext,
  uidOf: (user: string | number, at: Span) => number[],
): LoadSlice {
  const { limits, qmgr } = config
  const { client, network, uid, user } = limits.values
  return {
    throttle: buildThrottle(config),
    limits: {
      client: limits.where.has('client') ? flat(client, 'client', limits, match) : USUAL_CLIENT,
      network: flat(network, 'network', limits, match),
      uid: limits.where.has('uid') ? flat(uid, 'uid', limits, match) : USUAL_UID,
      user: flat(user, 'user', limits, match),
      loginFailures: {
        client: limits.values['client-login-failures'],
        account: limits.values['account-login-failures'],
      },
      exempt: flatten(limits.values.exempt, match),
      exemptUids: limits.values['exempt-users'].flatMap((one) => uidOf(one, placeOf(limits, 'exempt-users'))),
      policies: buildPolicyLimits(config),
      tableSize: limits.values['table-size'],
    },
    localReserve: qmgr.values['local-reserve'],
    remoteReserve: qmgr.values['remote-reserve'],
    destinationBacklog: qmgr.values['destination-backlog'],
  }
}

function buildThrottle({ throttle: { values } }: Config): ThrottleSlice {
  return {
    activeEntries: values['active-entries'],
    activeSize: values['active-size'],
    sessions: values.sessions,
    intakeRate: values['intake-rate'],
    memory: values.memory,
    diskSpace: values['disk-space'],
    inodes: values.inodes,
    lag: values.lag,
    longestWait: values['longest-wait'],
  }
}

/** The same measure twice for the same time cannot both be meant. */
function flat(
  lists: readonly Quota[][],
  option: keyof LimitsSlice & keyof Config['limits']['values'] & string,
  limits: Section<BlockType>,
  { problems }: MatchContext,
): Quota[] {
  const all = lists.flat()
  const seen = new Set<string>()
  for (const { measure, period } of all) {
    const time = period === null ? 'at one time' : `in ${formatDuration(period)}`
    if (seen.has(`${measure} ${time}`))
      problems.error(placeOf(limits, option), `\`${option}\` limits ${measure} ${time} twice`)
    seen.add(`${measure} ${time}`)
  }
  return all
}
