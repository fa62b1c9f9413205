/**
 * A map in DNS: TXT or A records below a domain, several put together with `, `. An address of the internet is turned
 * round, as lists of addresses in DNS have it (RFC 5782 section 2.1); the `@` of a mail address becomes `._at_.`.
 * The stub remembers answers for their time to live. What makes no name is not there; DNS trouble is trouble.
 */
import { isIP } from 'node:net'
import { reverseName } from '../client-address.ts'
import type { Answer } from '../dns/answer.ts'
import type { Stub } from '../dns/stub.ts'
import { found, type MapAnswer, type MapSource, MISSING, trouble } from './answer.ts'

const NAME =
  /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/

export function openDnsMap(dns: Pick<Stub, 'lookup'>, suffix: string, record: 'a' | 'txt'): MapSource {
  return {
    wholeKeys: false,
    close: () => undefined,
    lookUp: (key) => {
      const name = dnsNameOf(key, suffix)
      if (name === null) return MISSING
      const answer = dns.lookup(name, record === 'a' ? 'A' : 'TXT')
      return answer instanceof Promise ? answer.then(read) : read(answer)
    },
  }
}

function reversed(address: string): string {
  return (reverseName(address) ?? '').replace(/\.(?:in-addr|ip6)\.arpa$/, '')
}

export function dnsNameOf(key: string, suffix: string): string | null {
  const bare = isIP(key) === 0 ? key.toLowerCase().replace('@', '._at_.').replace(/^\./, '') : reversed(key)
  const name = `${bare}.${suffix}`
  return NAME.test(name) ? name : null
}

function read(answer: Answer): MapAnswer {
  if (answer.kind === 'failed') return trouble(answer.why)
  if (answer.kind !== 'records') return MISSING
  const values = answer.records.flatMap((one) => {
    if (one.kind === 'txt') return [one.text]
    return one.kind === 'address' ? [one.address] : []
  })
  return values.length > 0 ? found(values.join(', ')) : MISSING
}
