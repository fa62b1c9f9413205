/**
 * The configuration of the unbound that validates for the resolver (unbound.conf(5)). Pure.
 *
 * It answers this machine only, on one port of 127.0.0.1, changes no user by itself, writes nothing but the keys of the
 * root, logs to its standard error, and takes nothing from any other file. Bogus answers are SERVFAIL, never passed on.
 */
import { isIP } from 'node:net'
import type { ValidatorSlice } from '../../shared/config/slices.ts'

/** @param rootKey the file in which it keeps the keys of the root, where the config names no other trust anchor. */
export function renderUnboundConfig(slice: ValidatorSlice, rootKey: string): string {
  const { directory, forward, port, trustAnchor } = slice
  const anchor =
    trustAnchor === null ? `auto-trust-anchor-file: "${rootKey}"` : `trust-anchor-file: "${trustAnchor}"`
  const local = forward.some((server) => /^(?:127\.|\[::1\])/.test(server))
  const lines = [
    '# written by posthorn at each start and reload: what is changed here is lost',
    'server:',
    `directory: "${directory}"`,
    'username: ""',
    'chroot: ""',
    'pidfile: ""',
    'logfile: ""',
    'use-syslog: no',
    'do-daemonize: no',
    'verbosity: 1',
    'num-threads: 1',
    `interface: 127.0.0.1@${port}`,
    'access-control: 0.0.0.0/0 refuse',
    'access-control: 127.0.0.0/8 allow',
    ...[`do-not-query-localhost: ${local ? 'no' : 'yes'}`],
    'module-config: "validator iterator"',
    anchor,
    'val-permissive-mode: no',
    // our own cache does that, and says so
    'serve-expired: no',
    'hide-identity: yes',
    'hide-version: yes',
    'harden-glue: yes',
    'harden-dnssec-stripped: yes',
    'qname-minimisation: yes',
    'aggressive-nsec: yes',
    'edns-buffer-size: 1232',
    'minimal-responses: yes',
    'prefetch: yes',
    'msg-cache-size: 8m',
    'rrset-cache-size: 16m',
    'remote-control:',
    'control-enable: no',
    ...forwardLines(forward),
  ]
  return `${lines.join('\n')}\n`
}

function forwardLines(forward: readonly string[]): string[] {
  if (forward.length === 0) return []
  return ['forward-zone:', 'name: "."', ...forward.map((server) => `forward-addr: ${unboundAddress(server)}`)]
}

/** `127.0.0.1:53` and `[::1]:53` as `127.0.0.1@53` and `::1@53`. */
function unboundAddress(server: string): string {
  const colon = server.lastIndexOf(':')
  const address = server.slice(0, colon).replace(/^\[|\]$/g, '')
  if (isIP(address) === 0) throw new Error(`${server} is no address of a name server`)
  return `${address}@${server.slice(colon + 1)}`
}
