/**
 * `relay` and `routing` sections: from what was written to what the resolver is told. Names in rules that stand for
 * `server` sections become the patterns of those. Fails: problems, never exceptions.
 */
import { checkMap } from './maps.ts'
import type { Problems } from './problem.ts'
import type { RelaySlice, RouteRuleSlice } from './routing-slice.ts'
import type { RouteRuleValue } from './routing-values.ts'
import { checkNames } from './rules.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import { allServers, matchOf } from './servers.ts'
import { formatPlace, type Span } from './source.ts'
import { suggestion } from './suggest.ts'
import type { NextHop } from './values.ts'

export function buildRelays(config: Config, problems: Problems): RelaySlice[] {
  checkNames(config.relay, 'relay', problems)
  checkNames(config.routing, 'routing', problems)
  const used = namesInUse(config)
  return config.relay.map((relay) => {
    const { name, at, meant, values } = relay
    if (values.hosts.length === 0 && !meant.has('hosts'))
      problems.error(at, `relay \`${name}\` has no \`hosts\``, 'add `hosts { "mail.example.org"; };`')
    checkHosts(values.hosts, placeOf(relay, 'hosts'), problems)
    if (!used.has(name)) problems.warn(at, `nothing names relay \`${name}\``)
    return { name, hosts: values.hosts }
  })
}

/** Values of maps may name any. */
function namesInUse({ relay, routing, zone }: Config): ReadonlySet<string> {
  const rules = routing.flatMap(({ values }) => values.rule)
  if (rules.some(({ maps }) => maps.length > 0)) return new Set(relay.map(({ name }) => name))
  return new Set([
    ...rules.flatMap(({ relays }) => relays.map(({ name }) => name)),
    ...zone.flatMap(({ values }) => values.relay ?? []),
  ])
}

/** Connections of one route speak one protocol. */
export function checkHosts(hosts: readonly NextHop[], at: Span, problems: Problems): void {
  if (new Set(hosts.map(({ protocol }) => protocol)).size > 1)
    problems.error(at, 'the hosts of one zone speak smtp or lmtp, not both')
}

export function checkRelay(name: string, at: Span, { relay }: Config, problems: Problems): void {
  const names = relay.map((one) => one.name)
  if (names.includes(name)) return
  const hint = suggestion(name, names) ?? `add \`relay "${name}" { hosts { …; }; };\``
  problems.error(at, `there is no relay \`${name}\``, hint)
}

/** The rules of all the sections that the zone names, in order. */
export function rulesFor(zone: Config['zone'][number], config: Config, problems: Problems): RouteRuleSlice[] {
  return zone.values.routing.flat().flatMap((wanted) => {
    const found = config.routing.find(({ name }) => name === wanted)
    if (found) return found.values.rule.map((rule) => ruleSlice(rule, config))
    const names = config.routing.map(({ name }) => name)
    const hint = suggestion(wanted, names) ?? `add \`routing "${wanted}" { rule …; };\``
    problems.error(placeOf(zone, 'routing'), `there is no routing section \`${wanted}\``, hint)
    return []
  })
}

export function checkRouting(config: Config, problems: Problems): void {
  const used = new Set(config.zone.flatMap(({ values }) => values.routing.flat()))
  for (const section of config.routing) {
    if (!used.has(section.name)) {
      const hint = `add \`routing "${section.name}";\` to a zone`
      problems.warn(section.at, `no zone uses routing \`${section.name}\``, hint)
    }
    checkRules(section, config, problems)
  }
}

function checkRules({ values }: Section<Routing>, config: Config, problems: Problems): void {
  const whole = values.rule.findIndex((rule) => rule.maps.length === 0 && isForAll(rule))
  const next = whole < 0 ? undefined : values.rule[whole + 1]
  if (next) problems.warn(next.at, 'this rule is never asked', 'the one before it is for all mail')
  for (const { maps, relays } of values.rule) {
    for (const { name, at } of maps) checkMap(name, at, config, problems)
    for (const { name, at } of relays) checkRelay(name, at, config, problems)
  }
}

type Routing = typeof import('./options-routing.ts').routingBlock

function isForAll({ recipient, sender, user, provider, attempt, size }: RouteRuleValue): boolean {
  const listed = [recipient, sender, user, provider].some(({ length }) => length > 0)
  return !listed && attempt === null && size === null
}

function ruleSlice(rule: RouteRuleValue, config: Config): RouteRuleSlice {
  const { at, relays: _relays, maps: _maps, provider, ...rest } = rule
  return {
    ...rest,
    place: formatPlace(at),
    provider: provider.length === 0 ? null : provider.flatMap((name) => patternsOf(name, config)),
  }
}

function patternsOf(name: string, config: Config): string[] {
  const server = allServers(config).server.find((one) => one.name === name)
  return server ? matchOf(server) : [name]
}
