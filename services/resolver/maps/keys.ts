/**
 * Under which keys a map is asked, one after another until one is found. Pure.
 *
 * | use       | about                | keys                                                                         |
 * |-----------|----------------------|------------------------------------------------------------------------------|
 * | `address` | `ann+x@a.example.org`| `ann+x@a.example.org`, `ann@a.example.org`, `@a.example.org`, `@.example.org`, `@.org` |
 * | `name`    | the same             | `ann+x@a.example.org`, `ann+x`                                               |
 * | `rest`    | the same             | `@a.example.org`, `@.example.org`, `@.org`                                   |
 * | `host`    | `mx.a.example`       | `mx.a.example`, `.a.example`, `.example`                                     |
 * | `client`  | `192.0.2.7`          | `192.0.2.7`, `192.0.2`, `192.0`, `192`                                       |
 * | `client`  | `2001:db8::7`        | `2001:db8::7`, `2001:db8::/64`, `2001:db8::/48`, `2001:db8::/32`             |
 * | `exact`   | anything             | itself                                                                       |
 *
 * A local zone asks by `name`, with `+detail` and without, and by `rest` when nobody else takes the mail. The null
 * reverse-path is `<>`. Maps that match parts themselves (`cidr`, `regexp`) are asked for the first key alone; of
 * `rest` there is none for them.
 */
import { isIP } from 'node:net'
import { formatNetwork, masked, parseNetwork } from '../../../shared/config/network.ts'

export type Use = 'address' | 'name' | 'rest' | 'host' | 'client' | 'exact'

/** @param delimiter between user and detail, '' for none. */
export function keysOf(use: Use, asked: string, delimiter: string): string[] {
  const key = use === 'exact' ? asked : asked.toLowerCase()
  switch (use) {
    case 'exact':
      return [key]
    case 'address':
      return key === '' ? ['<>'] : [...namesIn(key, delimiter), ...domainKeys(key)]
    case 'name':
      return [key, key.slice(0, key.lastIndexOf('@'))]
    case 'rest':
      return domainKeys(key)
    case 'host':
      return [key, ...parentsOf(key)]
    case 'client':
      return [key, ...networksOf(key)]
    default:
      return use satisfies never
  }
}

/** For a map that is asked for whole keys only. */
export function wholeKeyOf(use: Use, asked: string): string[] {
  if (use === 'rest') return []
  return [use === 'address' && asked === '' ? '<>' : asked]
}

function namesIn(address: string, delimiter: string): string[] {
  const at = address.lastIndexOf('@')
  const detail = delimiter === '' ? -1 : address.indexOf(delimiter, 1)
  if (detail < 0 || detail >= at) return [address]
  return [address, address.slice(0, detail) + address.slice(at)]
}

function domainKeys(address: string): string[] {
  const domain = address.slice(address.lastIndexOf('@') + 1)
  return [domain, ...parentsOf(domain)].map((one) => `@${one}`)
}

const MOST_PARENTS = 20

/** `.example.org`, `.org`; of an address literal none. */
function parentsOf(name: string): string[] {
  if (name.startsWith('[')) return []
  const labels = name.split('.')
  return labels.slice(1, MOST_PARENTS).map((_, index) => `.${labels.slice(index + 1).join('.')}`)
}

function networksOf(address: string): string[] {
  if (isIP(address) === 4) {
    const parts = address.split('.')
    return [3, 2, 1].map((count) => parts.slice(0, count).join('.'))
  }
  const network = parseNetwork(address)
  if (!network) return []
  return [64, 48, 32].map((prefix) => formatNetwork(masked({ ...network, prefix })))
}
