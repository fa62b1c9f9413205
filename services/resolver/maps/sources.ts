/** Which part opens which type of map, and what a type needs that has to be loaded. */
import type { Log } from '../../../shared/base/log.ts'
import { loadPatterns } from '../../../shared/config/map-pattern.ts'
import type { MapSlice } from '../../../shared/config/slices.ts'
import type { Stub } from '../dns/stub.ts'
import type { MapSource } from './answer.ts'
import { openCdbMap } from './cdb-map.ts'
import { openDnsMap } from './dns-map.ts'
import { openDovecotMap } from './dovecot-map.ts'
import { Gate } from './gate.ts'
import { openHttpMap } from './http-map.ts'
import { loadLdap, openLdapMap } from './ldap-map.ts'
import { loadPostgresql, openPostgresqlMap } from './postgresql-map.ts'
import { openSocketmap } from './socketmap.ts'
import { loadSqliteMap, openSqliteMap } from './sqlite-map.ts'
import { openTextMap } from './text-map.ts'

export interface SourceContext {
  dns: Pick<Stub, 'lookup'>
  log: Log
  /** Milliseconds of a clock that does not jump. */
  now: () => number
}

/** @throws what reading a file of authorities throws. */
export function openSource(slice: MapSlice, { dns, log, now }: SourceContext): MapSource {
  const { source, timeout, connections } = slice
  const gate = () => new Gate({ timeout, connections, now })
  switch (source.kind) {
    case 'hash':
    case 'cidr':
    case 'regexp':
      return openTextMap(source.kind, source.file, log)
    case 'sqlite':
      return openSqliteMap(source.file, source.query, now)
    case 'cdb':
      return openCdbMap(source.file, now)
    case 'socketmap':
      return openSocketmap(source.server, source.name, gate())
    case 'dovecot':
      return openDovecotMap(source.server, gate())
    case 'http':
      return openHttpMap(source.url, source.login, source.tls, gate())
    case 'dns':
      return openDnsMap(dns, source.suffix, source.record)
    case 'postgresql':
      return openPostgresqlMap(source, slice, gate())
    case 'ldap':
      return openLdapMap(source, timeout, gate())
    default:
      return source satisfies never
  }
}

/** What these maps need is loaded now: behind the loss of root its files may be out of reach. */
export async function loadForMaps(maps: readonly MapSlice[]): Promise<void> {
  const kinds = new Set(maps.map(({ source }) => source.kind))
  if (kinds.has('regexp')) loadPatterns()
  if (kinds.has('sqlite')) new (loadSqliteMap())(':memory:').close() // its library comes with the first database
  if (kinds.has('postgresql')) await loadPostgresql()
  if (kinds.has('ldap')) await loadLdap()
}
