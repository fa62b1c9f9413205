/**
 * The `web` section: from what was written to what web is told, with the rules between its options and the rest of
 * the config. Fails: problems, never exceptions.
 */
import { resolve } from 'node:path'
import { collides, expandAddresses, MAX_SOCKET_PATH } from './listeners.ts'
import { tlsSlice } from './logins.ts'
import { type Config, placeOf } from './schema.ts'
import type { ListenerSlice } from './slices.ts'
import { suggestion } from './suggest.ts'
import { toDomain } from './types.ts'
import type { MailAccess, StsPolicySlice, WebPlace, WebSlice } from './web-slice.ts'

export interface WebParts {
  config: Config
  facts: { interfaces: readonly string[] }
  problems: { error: (at: Config['at'], message: string, hint?: string | null) => void }
  hostname: string
  runDirectory: string
  listeners: readonly ListenerSlice[]
}

/** Null: nothing is served. */
export function buildWeb(parts: WebParts): WebSlice | null {
  const { config, problems } = parts
  const { web } = config
  if (web.values.port === null && web.values.socket === null) {
    if (config.meant.has('web') && !web.meant.has('port') && !web.meant.has('socket'))
      problems.error(web.at, '`web` does not say where it listens', 'add `port 443;` or `socket "web.sock";`')
    return null
  }
  const tls = tlsOf(parts)
  const slice: WebSlice = {
    places: placesOf(parts, tls.length > 0),
    tls,
    domains: domainsOf(parts),
    policy: policyOf(parts),
    programs: programsOf(parts),
  }
  const said = ['mta-sts', 'imap', 'pop3'].some((option) => web.meant.has(option))
  if (!said) problems.error(web.at, '`web` has nothing to say', 'add `mta-sts testing;`, or `imap "HOST";`')
  return slice
}

function placesOf(parts: WebParts, hasTls: boolean): WebPlace[] {
  const { config, facts, problems, runDirectory, listeners } = parts
  const { address, port, socket } = config.web.values
  const endpoints: WebPlace['endpoint'][] = []
  if (port === null && address.length > 0)
    problems.error(placeOf(config.web, 'address'), '`address` without `port`')
  if (port !== null) {
    const wanted = address.length > 0 ? address.flat() : [hasTls ? 'any' : '127.0.0.1']
    const all = expandAddresses(new Set(wanted), { interfaces: facts.interfaces })
    endpoints.push(...all.map((one) => ({ kind: 'tcp' as const, address: one, port })))
  }
  if (socket !== null)
    endpoints.push({ kind: 'unix', path: socketPath(parts, runDirectory), mode: socket.mode })
  for (const endpoint of endpoints) refuseTaken(endpoint, listeners, parts)
  // no section can have such a name
  return endpoints.map((endpoint, n) => ({
    name: `web:${n + 1}`,
    endpoint,
    secure: hasTls && endpoint.kind === 'tcp',
  }))
}

function socketPath({ config: { web }, problems }: WebParts, runDirectory: string): string {
  const path = resolve(runDirectory, web.values.socket?.path ?? '')
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    problems.error(
      placeOf(web, 'socket'),
      `the socket's path is longer than ${MAX_SOCKET_PATH} octets: ${path}`,
      'choose a shorter path or `run-directory`',
    )
  return path
}

function refuseTaken(
  endpoint: WebPlace['endpoint'],
  listeners: readonly ListenerSlice[],
  { config: { web }, problems }: WebParts,
): void {
  const key = placeKey(endpoint)
  const other = listeners.find((one) => placeKey(one.endpoint) === key && collides(one, { endpoint }))
  if (!other || key === 0) return
  const option = endpoint.kind === 'unix' ? 'socket' : 'port'
  const what = endpoint.kind === 'unix' ? endpoint.path : `port ${endpoint.port}`
  problems.error(placeOf(web, option), `${what} is taken by listener \`${other.name}\``)
}

function placeKey(endpoint: WebPlace['endpoint']): string | number {
  return endpoint.kind === 'unix' ? endpoint.path : endpoint.port
}

function tlsOf({ config: { tls, web }, problems }: WebParts): WebSlice['tls'] {
  const names = tls.map(({ name }) => name)
  if (web.where.has('tls') && web.values.port === null)
    problems.error(placeOf(web, 'tls'), '`tls` without `port`', 'a socket is for plain HTTP')
  return web.values.tls.flat().flatMap((wanted) => {
    const found = tls.find(({ name }) => name === wanted)
    if (found) return [{ ...tlsSlice(found), clientCa: null }]
    const hint = suggestion(wanted, names) ?? `add \`tls "${wanted}" { certificate "…"; key "…"; };\``
    problems.error(placeOf(web, 'tls'), `there is no tls section \`${wanted}\``, hint)
    return []
  })
}

function domainsOf({ config: { web, zone }, problems }: WebParts): string[] {
  const ours = zone.filter(({ values }) => values.type === 'local' || values.type === 'relay')
  const named = ours.map(({ name }) => name).filter((name) => name !== '.' && !name.startsWith('*.'))
  const all = web.values.domains ?? named.filter((name) => toDomain(name)?.includes('.'))
  if (all.length === 0 && web.values.domains === null)
    problems.error(
      web.at,
      '`web` speaks for no domain',
      'no zone of type local or relay has a name; say `domains { … };`',
    )
  return [...new Set(all)]
}

function policyOf({ config: { web }, hostname, problems }: WebParts): StsPolicySlice | null {
  const { 'mta-sts': mode, mx, 'max-age': maxAge } = web.values
  if (mode === null) {
    for (const option of ['mx', 'max-age'] as const)
      if (web.where.has(option)) problems.error(placeOf(web, option), `\`${option}\` without \`mta-sts\``)
    return null
  }
  const hosts = mx.flat()
  // RFC 8461 section 3.2: a name, or `*.` and a name
  for (const host of hosts)
    if (!toDomain(host.replace(/^\*\./, ''))?.includes('.'))
      problems.error(
        placeOf(web, 'mx'),
        `\`${host}\` cannot stand in a policy`,
        'a host name, or `*.` and a domain',
      )
  return { mode, mx: hosts.length > 0 ? hosts : [hostname], maxAge: Math.floor(maxAge / 1000) }
}

function programsOf(parts: WebParts): WebSlice['programs'] {
  const { config, problems } = parts
  const { web } = config
  const { imap, pop3, login } = web.values
  if (!imap && !pop3) {
    if (web.meant.has('imap') || web.meant.has('pop3')) return null
    for (const option of ['submission', 'login'] as const)
      if (web.where.has(option))
        problems.error(placeOf(web, option), `\`${option}\` without \`imap\` or \`pop3\``)
    return null
  }
  const submission = web.values.submission ?? ownSubmission(parts)
  if (submission) return { imap, pop3, submission, login }
  const message = 'no listener has `auth` and `tls`: where do mail programs hand in mail?'
  problems.error(placeOf(web, imap ? 'imap' : 'pop3'), message, 'add `submission "HOST";`')
  return null
}

/** RFC 8314 section 3.3: rather with TLS from the first octet. */
function ownSubmission({ hostname, listeners }: WebParts): MailAccess | null {
  const open = listeners.flatMap(({ auth, endpoint, tls }) => {
    if (!auth || !tls.context || endpoint.kind !== 'tcp') return []
    const mode = tls.mode === 'implicit' ? ('implicit' as const) : ('starttls' as const)
    return [{ host: hostname, port: endpoint.port, mode }]
  })
  return open.find(({ mode }) => mode === 'implicit') ?? open[0] ?? null
}
