/**
 * What `XWHY TO` tells of the way of a recipient (`why.ts`): the access rules that hold, and with the first of its hosts
 * known, what the zone, the `server` section and the rest of the config say of sending there. Pure, out of the rule book.
 */
import type { Rule, RuleBook } from '../../shared/config/rule-book.ts'
import { namesOne, serverFor } from '../../shared/message/next-hop.ts'
import type { Route } from '../../shared/message/route.ts'
import type { AccessRule } from './access.ts'

export function ruled({ text, place }: Rule): string {
  return `${text}: ${place === '' ? 'by default' : place}`
}

export function accessLine({ action, place }: AccessRule): string {
  const words = 'address' in action ? `"${action.address}"` : action.kind === 'discard' ? '' : textOf(action)
  return ruled({ text: `access rule ${action.kind}${words && ` ${words}`}`, place })
}

function textOf(action: Exclude<AccessRule['action'], { address: string }>): string {
  return 'text' in action && action.text !== null ? `"${action.text}"` : ''
}

/** Each thing that is said of several routes stands there once. */
export function rulesOfRoutes(rules: RuleBook, routes: readonly Route[]): string[] {
  const lines = routes.flatMap((route) => [
    ...ofZone(rules, route.zone),
    ...(route.kind === 'smtp' ? ofHosts(rules, route) : []),
  ])
  const leaves = routes.some(({ kind }) => kind === 'smtp')
  return [...new Set([...lines, ...(leaves ? rules.outgoing.map(ruled) : [])])]
}

/** Its options; where it stands has been said. */
function ofZone({ zones }: RuleBook, zone: string): string[] {
  const options = (zones[zone] ?? []).slice(1)
  return options.map(({ text, place }) => ruled({ text: `zone "${zone}" ${text}`, place }))
}

function ofHosts({ servers, classes }: RuleBook, route: Extract<Route, { kind: 'smtp' }>): string[] {
  const [title, ...options] = serverFor(route, servers)?.rules ?? []
  const possible = classes.filter(
    ({ match, zones }) =>
      (match.length === 0 || namesOne(match, route.hosts)) &&
      (zones.length === 0 || zones.includes(route.zone)),
  )
  return [
    ...(title ? [ruled(title)] : []),
    ...options.map(({ text, place }) => ruled({ text: `${title?.text} ${text}`, place })),
    ...possible.map(({ rule }) => ruled({ ...rule, text: `${rule.text} for such replies` })),
  ]
}
