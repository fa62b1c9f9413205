/**
 * Which name servers to ask and how patiently: the config's, or those of `/etc/resolv.conf` (resolv.conf(5)),
 * whose own `options timeout:` and `attempts:` then count where they are given. Pure.
 *
 * What a server says of DNSSEC is believed when it is on this machine, because nobody stands between, or when the
 * config calls it `validating`: then the network to it has to be as safe as this machine.
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
const VALIDATING = ' validating'
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
      else if (servers.length < MOST_SERVERS) servers.push(serverAt(address))
    }
    if (keyword !== 'options') return
    timeout = option(words, 'timeout', MOST_SECONDS) ?? timeout
    attempts = option(words, 'attempts', MOST_ATTEMPTS) ?? attempts
  })
  // resolv.conf(5): without a server line, the one on this machine
  if (servers.length === 0) servers.push(serverAt('127.0.0.1'))
  return { value: { servers, timeout: timeout === null ? null : timeout * 1000, attempts }, faults }
}

function option(words: readonly string[], name: string, most: number): number | null {
  const value = words.find((word) => word.startsWith(`${name}:`))?.slice(name.length + 1) ?? ''
  return /^\d{1,4}$/.test(value) && Number(value) > 0 ? Math.min(Number(value), most) : null
}

/** `127.0.0.1:53`, `[::1]:53`; without a port 53; `validating` behind it. Null when it is none of these. */
export function parseServer(text: string): Server | null {
  const validating = text.endsWith(VALIDATING)
  const place = validating ? text.slice(0, -VALIDATING.length) : text
  if (isIP(place) !== 0) return serverAt(place, DNS_PORT, validating)
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(place) ?? []
  const address = bracketed ?? plain ?? ''
  const port = portText === undefined ? DNS_PORT : Number(portText)
  return isIP(address) !== 0 && port > 0 && port < 65536 ? serverAt(address, port, validating) : null
}

function serverAt(address: string, port = DNS_PORT, validating = false): Server {
  return { address, port, trusted: validating || address === '::1' || address.startsWith('127.') }
}
