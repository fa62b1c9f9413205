/**
 * Address match lists as BIND has them: the first element that matches decides, a negated one says no, and who
 * matches nothing is not in the list.
 *
 * `compileMatch` is called once per list and config, the matcher once per connection. The empty address is the
 * local unix socket: it matches 'local' and 'any'. IPv4-mapped IPv6 addresses count as IPv4.
 *
 * A list may have names of clients (`compileClients`). While a client's name is not known, what the list says is
 * `unclear` where it depends on that name; a client without a confirmed name matches no element with one.
 */
import { BlockList, isIP, isIPv6 } from 'node:net'
import { fits } from '../message/next-hop.ts'
import type { ClientMatch, ClientMatchList } from './listener-slices.ts'
import type { AddressMatchList } from './slices.ts'

export type AddressMatcher = (address: string) => boolean

export type Decision = 'yes' | 'no' | 'unclear'

/** @param name in lower case, '' for none; null: it is not known (yet). */
export type ClientMatcher = (address: string, name: string | null) => Decision

interface Element {
  negated: boolean
  matches: ClientMatcher
}

const MAPPED = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i

export function compileMatch(list: AddressMatchList): AddressMatcher {
  const matcher = compileClients(list)
  return (address) => matcher(address, '') === 'yes'
}

export function compileClients(list: ClientMatchList): ClientMatcher {
  const elements = list.map((one): Element => ({ negated: one.negated, matches: compileElement(one) }))
  return (address, name) => decide(elements, address.replace(MAPPED, ''), name)
}

/** Whether what it says may depend on a name. */
export function hasNames(list: ClientMatchList): boolean {
  return list.some((one) => 'name' in one || ('list' in one && hasNames(one.list)))
}

function decide(elements: readonly Element[], address: string, name: string | null): Decision {
  // what the elements that depend on its name would decide
  let possible: Decision | null = null
  for (const { negated, matches } of elements) {
    const found = matches(address, name)
    if (found === 'no') continue
    const decision = negated ? 'no' : 'yes'
    if (possible !== null && possible !== decision) return 'unclear'
    if (found === 'yes') return decision
    possible = decision
  }
  return possible === 'yes' ? 'unclear' : 'no'
}

function compileElement(one: ClientMatch): ClientMatcher {
  if ('list' in one) return compileClients(one.list)
  if ('network' in one) return compileNetwork(one.network)
  const pattern = one.name
  // no program of this machine has one
  return (address, name) => {
    if (address === '') return 'no'
    if (name === null) return 'unclear'
    return name !== '' && fits(pattern, name) ? 'yes' : 'no'
  }
}

/** @throws RangeError for a network that is none; the config checker lets none through. */
function compileNetwork(network: string): ClientMatcher {
  if (network === 'any') return () => 'yes'
  if (network === 'local') return (address) => (address === '' ? 'yes' : 'no')
  const [base = '', length] = network.split('/')
  const version = isIP(base)
  if (version === 0) throw new RangeError(`${network} is no network`)
  const family = version === 6 ? 'ipv6' : 'ipv4'
  const block = new BlockList()
  block.addSubnet(base, length === undefined ? (version === 6 ? 128 : 32) : Number(length), family)
  return (address) => {
    if (address === '' || isIPv6(address) !== (version === 6)) return 'no'
    return block.check(address, family) ? 'yes' : 'no'
  }
}
