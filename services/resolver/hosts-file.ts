/**
 * `/etc/hosts` (hosts(5)): names to addresses, for the next hops that a config names. MX hosts are never looked
 * up here: they are other people's names. Pure.
 */
import { isIP } from 'node:net'
import type { ParsedFile } from '../../shared/config/map-file.ts'

export type HostsFile = ReadonlyMap<string, readonly string[]>

export function parseHosts(text: string): ParsedFile<HostsFile> {
  const value = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (isIP(address) === 0 || address.includes('%')) continue
    for (const name of names) {
      const key = name.toLowerCase()
      const known = value.get(key)
      if (!known) value.set(key, [address])
      else if (!known.includes(address)) known.push(address)
    }
  }
  // RFC 6761 section 6.3: it is this machine whether the file says so or not
  if (!value.has('localhost')) value.set('localhost', ['127.0.0.1', '::1'])
  return { value, faults: [] }
}
