/**
 * Address match lists as BIND has them: the first element that matches decides, a negated one says no, and who
 * matches nothing is not in the list.
 *
 * `compileMatch` is called once per list and config, the matcher once per connection. The empty address is the
 * local unix socket: it matches 'local' and 'any'. IPv4-mapped IPv6 addresses count as IPv4.
 */
import { BlockList, isIP, isIPv6 } from 'node:net'
import type { AddressMatchList } from './slices.ts'

export type AddressMatcher = (address: string) => boolean

interface Element {
  negated: boolean
  matches: AddressMatcher
}

const MAPPED = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i

export function compileMatch(list: AddressMatchList): AddressMatcher {
  const elements = list.map(
    ({ negated, network }): Element => ({ negated, matches: compileElement(network) }),
  )
  return (address) => {
    const plain = address.replace(MAPPED, '')
    const decisive = elements.find((element) => element.matches(plain))
    return decisive !== undefined && !decisive.negated
  }
}

/** @throws RangeError for a network that is none; the config checker lets none through. */
function compileElement(network: string): AddressMatcher {
  if (network === 'any') return () => true
  if (network === 'local') return (address) => address === ''
  const [base = '', length] = network.split('/')
  const version = isIP(base)
  if (version === 0) throw new RangeError(`${network} is no network`)
  const family = version === 6 ? 'ipv6' : 'ipv4'
  const block = new BlockList()
  block.addSubnet(base, length === undefined ? (version === 6 ? 128 : 32) : Number(length), family)
  return (address) => {
    if (address === '' || isIPv6(address) !== (version === 6)) return false
    return block.check(address, family)
  }
}
