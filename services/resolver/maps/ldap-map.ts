/**
 * A map in a directory: one search with the key escaped in the filter (RFC 4515 section 3), and the values of one
 * attribute of all entries that are found.
 *
 * ldapts is loaded with the first question. A connection is kept, and made anew after any trouble. Limits: MOST_ENTRIES
 * entries, LONGEST_VALUE octets.
 */
import { readFileSync } from 'node:fs'
import type { Client } from 'ldapts'
import type { MapSlice } from '../../../shared/config/slices.ts'
import { found, LONGEST_VALUE, type MapAnswer, type MapSource, MISSING, trouble } from './answer.ts'
import type { Gate } from './gate.ts'
import { fillIn } from './parts.ts'
import { passwordOf } from './password.ts'

type Ldap = Extract<MapSlice['source'], { kind: 'ldap' }>

const MOST_ENTRIES = 1000

/** Whoever gives up root loads it before: its files may lie where the resolver's user cannot read. */
export async function loadLdap(): Promise<typeof Client> {
  return (await import('ldapts')).Client
}

export function openLdapMap(source: Ldap, timeout: number, gate: Gate): MapSource {
  let client: Promise<Client> | null = null
  const drop = () => {
    client?.then((one) => one.unbind()).catch(() => undefined)
    client = null
  }
  const ask = async (key: string): Promise<MapAnswer> => {
    client ??= bind(source, timeout)
    try {
      return await search(await client, source, key)
    } catch (error) {
      drop()
      throw error
    }
  }
  return { wholeKeys: false, lookUp: (key) => gate.ask(() => ask(key)), close: drop }
}

async function bind({ url, login, tls }: Ldap, timeout: number): Promise<Client> {
  const options = tls?.caFile == null ? {} : { ca: [readFileSync(tls.caFile)] }
  const secure = url.startsWith('ldaps:')
  const client = new (await loadLdap())({
    url,
    timeout,
    connectTimeout: timeout,
    ...(secure && { tlsOptions: { minVersion: 'TLSv1.2', ...options } }),
  })
  if (tls && !secure)
    await client.startTLS({ minVersion: 'TLSv1.2', host: new URL(url).hostname, ...options })
  if (login.user !== null) await client.bind(login.user, passwordOf(login.passwordFile))
  return client
}

async function search(client: Client, source: Ldap, key: string): Promise<MapAnswer> {
  const { base, scope, filter, attribute } = source
  const { searchEntries } = await client.search(base, {
    scope,
    filter: fillIn(filter, key, escapeFilter),
    attributes: [attribute],
    sizeLimit: MOST_ENTRIES,
  })
  const values = searchEntries.flatMap((entry) => {
    const name = Object.keys(entry).find((one) => one.toLowerCase() === attribute.toLowerCase())
    return name === undefined ? [] : [entry[name]].flat().map(String)
  })
  if (values.length === 0) return MISSING
  const value = values.join(', ')
  return value.length > LONGEST_VALUE ? trouble(`a value of more than ${LONGEST_VALUE} octets`) : found(value)
}

/** RFC 4515 section 3. */
export function escapeFilter(text: string): string {
  return text.replace(/[\\*()\0]/g, (one) => `\\${one.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
