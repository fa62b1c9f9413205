/**
 * Networks as numbers, and the one thing that a list of them needs: what an address match list really matches.
 *
 * A list inside a list counts only where it says yes (BIND's rule: a `!` inside a named list keeps the list from
 * matching, it does not refuse). Slices know only flat lists, so a list inside is replaced by the networks that
 * it says yes to; `positives` computes them by cutting the address space where the list's elements do.
 */
import { isIP } from 'node:net'

export interface Network {
  /** 'local' is the unix socket: no addresses, matched as a whole. */
  family: 4 | 6 | 'local'
  bits: bigint
  prefix: number
}

export interface SignedNetwork {
  negated: boolean
  network: Network
}

const widths = { 4: 32, 6: 128, local: 0 } as const

export const everything: readonly Network[] = [
  { family: 4, bits: 0n, prefix: 0 },
  { family: 6, bits: 0n, prefix: 0 },
  { family: 'local', bits: 0n, prefix: 0 },
]

export const unixSocket: Network = { family: 'local', bits: 0n, prefix: 0 }

/** `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`; null when it is none. Bits behind the prefix stay as written. */
export function parseNetwork(text: string): Network | null {
  const [, address, length] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  if (address === undefined || address.includes('%')) return null
  const family = isIP(address)
  if (family !== 4 && family !== 6) return null
  const prefix = length === undefined ? widths[family] : Number(length)
  if (prefix > widths[family]) return null
  return { family, bits: family === 4 ? bits4(address) : bits6(address), prefix }
}

/** The network with nothing behind its prefix. */
export function masked(network: Network): Network {
  const behind = BigInt(widths[network.family] - network.prefix)
  return { ...network, bits: (network.bits >> behind) << behind }
}

export function formatNetwork({ family, bits, prefix }: Network): string {
  if (family === 'local') return 'local'
  const groups: string[] = []
  const [count, width, radix, separator] = family === 4 ? [4, 8n, 10, '.'] : [8, 16n, 16, ':']
  for (let index = count - 1; index >= 0; index--) {
    groups.push(((bits >> (BigInt(index) * width)) & ((1n << width) - 1n)).toString(radix))
  }
  const text = groups.join(separator)
  return `${family === 6 ? new URL(`http://[${text}]/`).hostname.slice(1, -1) : text}/${prefix}`
}

const NEIGHBOURHOOD = { 4: 24, 6: 64 } as const

/** Neighbours are often one and the same: /24, and /64 of IPv6. A network is cut to that; no address: as it is. */
export function networkOf(address: string): string {
  const network = parseNetwork(address)
  if (!network || network.family === 'local') return address
  return formatNetwork(
    masked({ ...network, prefix: Math.min(network.prefix, NEIGHBOURHOOD[network.family]) }),
  )
}

/** The networks for which the first element of the list that matches says yes. */
export function positives(list: readonly SignedNetwork[]): Network[] {
  const found: Network[] = []
  for (const whole of everything) cut(whole, list, found)
  return found
}

/** Each half takes along only what concerns it, so the work is the list's length times the bits of an address. */
function cut(part: Network, list: readonly SignedNetwork[], found: Network[]): void {
  const near = list.filter(({ network }) => covers(network, part) || covers(part, network))
  const [first] = near
  if (!first) return
  if (!covers(first.network, part)) return halves(part).forEach((half) => void cut(half, near, found))
  if (!first.negated) found.push(part)
}

export function covers(outer: Network, inner: Network): boolean {
  if (outer.family !== inner.family || outer.prefix > inner.prefix) return false
  const behind = BigInt(widths[outer.family] - outer.prefix)
  return outer.bits >> behind === inner.bits >> behind
}

function halves(network: Network): Network[] {
  const prefix = network.prefix + 1
  const bit = 1n << BigInt(widths[network.family] - prefix)
  return [
    { ...network, prefix },
    { ...network, prefix, bits: network.bits | bit },
  ]
}

function bits4(address: string): bigint {
  return address.split('.').reduce((bits, part) => (bits << 8n) | BigInt(part), 0n)
}

function bits6(address: string): bigint {
  const plain = new URL(`http://[${address}]/`).hostname.slice(1, -1)
  const [head = '', tail] = plain.split('::')
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => '0')
  return [...first, ...zeros, ...last].reduce((bits, part) => (bits << 16n) | BigInt(`0x${part}`), 0n)
}
