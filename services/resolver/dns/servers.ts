/**
 * Which name servers to ask and how patiently: the config's, or those of `/etc/resolv.conf` (resolv.conf(5)),
 * whose own `options timeout:` and `attempts:` then count where they are given. Pure.
 */
import { isIP } from 'node:net'
import type { ParsedFile } from '../../../shared/config/map-file.ts'
import type { Server } from './exchange.ts'

export interface ServerSet {
  servers: readonly Server[]
  /** Milliseconds for one try. */
  timeout: number
  /** Rounds over all servers. */
  attempts: number
}

export type ResolvConf = Pick<ServerSet, 'servers'> & { timeout: number | null; attempts: number | null }

const DNS_PORT = 53
/** As the system's own resolver has it (MAXNS, RES_MAXRETRANS, RES_MAXRETRY). */
const MOST_SERVERS = 3
const MOST_SECONDS = 30
const MOST_ATTEMPTS = 5

export function parseResolvConf(text: string): ParsedFile<ResolvConf> {
  const servers: Server[] = []
  const faults: { line: number; why: string }[] = []
  let timeout: number | null = null
  let attempts: number | null = null
  text.split('\n').forEach((raw, index) => {
    const [keyword, ...words] = raw
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (keyword === 'nameserver') {
      const address = words[0] ?? ''
      if (isIP(address) === 0) faults.push({ line: index + 1, why: `\`${address}\` is no address` })
      else if (servers.length < MOST_SERVERS) servers.push({ address, port: DNS_PORT })
    }
    if (keyword !== 'options') return
    timeout = option(words, 'timeout', MOST_SECONDS) ?? timeout
    attempts = option(words, 'attempts', MOST_ATTEMPTS) ?? attempts
  })
  // resolv.conf(5): without a server line, the one on this machine
  if (servers.length === 0) servers.push({ address: '127.0.0.1', port: DNS_PORT })
  return { value: { servers, timeout: timeout === null ? null : timeout * 1000, attempts }, faults }
}

function option(words: readonly string[], name: string, most: number): number | null {
  const value = words.find((word) => word.startsWith(`${name}:`))?.slice(name.length + 1) ?? ''
  return /^\d{1,4}$/.test(value) && Number(value) > 0 ? Math.min(Number(value), most) : null
}

/** `127.0.0.1:53`, `[::1]:53`; without a port 53. Null when it is neither. */
export function parseServer(text: string): Server | null {
  if (isIP(text) !== 0) return { address: text, port: DNS_PORT }
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? []
  const address = bracketed ?? plain ?? ''
  const port = portText === undefined ? DNS_PORT : Number(portText)
  return isIP(address) !== 0 && port > 0 && port < 65536 ? { address, port } : null
}
