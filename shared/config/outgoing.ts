/** From `smtpc`, `zone` and `server` sections to the ways that smtpc takes, with the rules of the options. */
import type { Facts } from './facts.ts'
import { type OutgoingWay, proxyFrom } from './options-outgoing.ts'
import type { Problems } from './problem.ts'
import { checkFile } from './rules.ts'
import { type Config, placeOf } from './schema.ts'
import type { SmtpcSlice } from './slices.ts'
import type { Span } from './source.ts'

type Speaker = Config['smtpc'] | Config['relay'][number] | Config['zone'][number] | Config['server'][number]

export function buildWays(config: Config): SmtpcSlice['ways'] {
  return {
    usual: wayOf(config.smtpc),
    zones: { ...waysOf(config.zone), ...waysOf(config.relay.map(asZone)) },
    servers: waysOf(config.server),
  }
}

/** Files of logins, by the `relay` section. */
export function loginsOf({ relay }: Config): SmtpcSlice['logins'] {
  return Object.fromEntries(
    relay.flatMap(({ name, values }) => (values.logins === null ? [] : [[name, values.logins] as const])),
  )
}

/** No name of a zone has a blank. */
function asZone(relay: Config['relay'][number]): Config['relay'][number] {
  return { ...relay, name: `relay ${relay.name}` }
}

export function checkWays(config: Config, facts: Facts, problems: Problems): void {
  for (const one of config.relay) checkFile(one.values.logins, placeOf(one, 'logins'), facts, problems)
  for (const section of [config.smtpc, ...config.zone, ...config.relay, ...config.server])
    checkWay(section, facts, problems)
}

function checkWay({ at, values, where }: Speaker, facts: Facts, problems: Problems): void {
  const place = (option: string) => where.get(option) ?? at
  checkFile(values['ca-file'], place('ca-file'), facts, problems)
  for (const address of values.source?.addresses ?? []) checkSource(address, place('source'), facts, problems)
  if (where.has('tls') && where.has('tls-names')) checkNames(values, place('tls-names'), problems)
  checkFile(values['tls-certificate'], place('tls-certificate'), facts, problems)
  checkFile(values['tls-key'], place('tls-key'), facts, problems)
  const [certificate, key] = [where.has('tls-certificate'), where.has('tls-key')]
  if (certificate === key) return
  const [given, wanted] = certificate ? ['tls-certificate', 'tls-key'] : ['tls-key', 'tls-certificate']
  problems.error(place(given), `\`${given}\` without \`${wanted}\``)
}

/** It may come later, with another machine's part: the mail waits for it. */
function checkSource(address: string, at: Span, { interfaces }: Facts, problems: Problems): void {
  if (interfaces.some((network) => network.replace(/\/\d+$/, '') === address)) return
  if (address.startsWith('127.')) return // all of that network is this machine
  problems.warn(at, `\`${address}\` is no address of this machine`, 'mail that should go out from it waits')
}

/** They would change nothing. */
function checkNames({ tls, 'tls-names': names }: Speaker['values'], at: Span, problems: Problems): void {
  if (names === null || tls === null || tls.level === 'verify') return
  problems.error(at, `\`tls-names\` are for \`tls verify\`, not for \`tls ${tls.level}\``)
}

function waysOf(sections: readonly (Speaker & { name: string })[]): Record<string, OutgoingWay> {
  return Object.fromEntries(
    sections.flatMap((section) => {
      const way = wayOf(section)
      return Object.values(way).some((said) => said !== null) ? [[section.name, way] as const] : []
    }),
  )
}

function wayOf({ values }: Speaker): OutgoingWay {
  const { 'tls-certificate': certificate, 'tls-key': key, proxy } = values
  return {
    tls: values.tls,
    tlsNames: values['tls-names'],
    caFile: values['ca-file'],
    identity: certificate === null || key === null ? null : { certificate, key },
    proxy: proxy === null ? null : proxyFrom(proxy),
    source: values.source,
    helo: values.helo,
  }
}
