/**
 * `map` sections: what each type of map needs, and whether everybody who names a map names one that is there. Fails:
 * problems, never exceptions.
 */
import type { Facts } from './facts.ts'
import type { MapLogin, MapServer, MapSlice, MapSourceSlice, MapTls, TableSlice } from './map-slices.ts'
import { mapBlock } from './options-maps.ts'
import type { Problems } from './problem.ts'
import { checkFile, checkNames, checkOnly } from './rules.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import { formatPlace, type Span } from './source.ts'
import { suggestion } from './suggest.ts'

type MapSection = Section<typeof mapBlock>
type Kind = MapSourceSlice['kind']
type OptionName = keyof MapSection['values'] & string

/** What cannot be missing; of alternatives one. */
const needs: Readonly<Record<Kind, readonly (readonly OptionName[])[]>> = {
  hash: [['file']],
  cidr: [['file']],
  regexp: [['file']],
  cdb: [['file']],
  sqlite: [['file'], ['query']],
  socketmap: [['socket', 'host'], ['name']],
  dovecot: [['socket']],
  http: [['url']],
  dns: [['suffix']],
  postgresql: [['socket', 'host'], ['database'], ['user'], ['query']],
  ldap: [['url'], ['base'], ['filter'], ['attribute']],
}

const POSTGRESQL_PORT = 5432

export function buildMaps(config: Config, facts: Facts, problems: Problems): MapSlice[] {
  checkNames(config.map, 'map', problems)
  return config.map.flatMap((map) => {
    const { type, timeout, connections, cache } = map.values
    if (type === null) return []
    check(map, type, facts, problems)
    const common = { name: map.name, place: formatPlace(map.at), timeout, connections, cache }
    return [{ ...common, source: sourceOf(map, type) }]
  })
}

function check(map: MapSection, kind: Kind, facts: Facts, problems: Problems): void {
  checkOnly(map, mapBlock, kind, problems)
  for (const some of needs[kind]) {
    if (some.some((option) => map.meant.has(option))) continue
    const [first = 'file'] = some
    const hint = `add ${some.map((one) => `\`${one} ${mapBlock.options[one].type.syntax};\``).join(' or ')}`
    problems.error(map.at, `map \`${map.name}\` of type ${kind} has no \`${first}\``, hint)
  }
  const { file, host, port, socket, url } = map.values
  if (socket !== null && host !== null)
    problems.error(placeOf(map, 'host'), 'a map has a `socket` or a `host`', 'take one of them out')
  if (kind === 'socketmap' && host !== null && port === null && !map.meant.has('port'))
    problems.error(placeOf(map, 'host'), 'a `host` without a `port`', 'add `port PORT;`')
  if (url !== null) checkUrl(url, kind, map, problems)
  if (file !== null) checkFile(file, placeOf(map, 'file'), facts, problems)
  for (const option of ['password-file', 'ca-file'] as const)
    checkFile(map.values[option], placeOf(map, option), facts, problems)
}

function checkUrl(url: string, kind: Kind, map: MapSection, problems: Problems): void {
  const at = placeOf(map, 'url')
  if (kind === 'ldap' && !url.startsWith('ldap'))
    problems.error(at, `\`${url}\` is no URL of LDAP`, 'such as `ldaps://ldap.example.org`')
  if (kind !== 'http') return
  if (!url.startsWith('http')) problems.error(at, `\`${url}\` is no URL of HTTP`, 'such as `https://host/%k`')
  else if (!/%[ku]/.test(url))
    problems.error(at, 'this URL asks for nothing in particular', 'put `%k` where the key belongs')
}

function sourceOf({ values }: MapSection, kind: Kind): MapSourceSlice {
  const file = values.file ?? ''
  switch (kind) {
    case 'hash':
    case 'cidr':
    case 'regexp':
    case 'cdb':
      return { kind, file }
    case 'sqlite':
      return { kind, file, query: values.query ?? '' }
    case 'socketmap':
      return { kind, server: serverOf(values, 0), name: values.name ?? '' }
    case 'dovecot':
      return { kind, server: serverOf(values, 0) }
    case 'http':
      return { kind, url: values.url ?? '', login: loginOf(values), tls: tlsOf(values) }
    case 'dns':
      return { kind, suffix: values.suffix ?? '', record: values.record }
    case 'postgresql':
      return {
        kind,
        server: serverOf(values, POSTGRESQL_PORT),
        database: values.database ?? '',
        login: loginOf(values),
        tls: values.tls === 'yes' ? tlsOf(values) : null,
        query: values.query ?? '',
      }
    case 'ldap':
      return {
        kind,
        url: values.url ?? '',
        base: values.base ?? '',
        scope: values.scope,
        filter: values.filter ?? '',
        attribute: values.attribute ?? '',
        login: loginOf(values),
        tls: values.tls === 'yes' || (values.url ?? '').startsWith('ldaps:') ? tlsOf(values) : null,
      }
    default:
      return kind satisfies never
  }
}

function serverOf({ host, port, socket }: MapSection['values'], usualPort: number): MapServer {
  return socket === null
    ? { kind: 'tcp', host: host ?? '', port: port ?? usualPort }
    : { kind: 'unix', path: socket }
}

function loginOf(values: MapSection['values']): MapLogin {
  return { user: values.user, passwordFile: values['password-file'] }
}

function tlsOf(values: MapSection['values']): MapTls {
  return { caFile: values['ca-file'] }
}

/** Whoever names a map must name one that is there. */
export function checkMap(name: string, at: Span, { map }: Pick<Config, 'map'>, problems: Problems): void {
  const names = map.map((one) => one.name)
  if (names.includes(name)) return
  const hint = suggestion(name, names) ?? `add \`map "${name}" { type hash; file "PATH"; };\``
  problems.error(at, `there is no map \`${name}\``, hint)
}

export function checkTable(
  table: TableSlice | null,
  at: Span,
  config: Config,
  facts: Facts,
  problems: Problems,
): void {
  if (table?.kind === 'map') checkMap(table.name, at, config, problems)
  if (table?.kind === 'file') checkFile(table.path, at, facts, problems)
}
