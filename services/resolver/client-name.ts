/**
 * Whether a client's address has a name, and whether that name leads back to it (forward-confirmed reverse DNS,
 * RFC 1912 section 2.1). DNS trouble is `later`, which nobody is blamed for. Limits: MOST_NAMES names of one
 * address are looked at.
 *
 * What stands in `/etc/hosts` comes before DNS, as everywhere on this machine, and is confirmed by standing there.
 * Of several names that lead back it is the first by the alphabet, so that the same client is called the same.
 */
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import { toDomain } from '../../shared/config/types.ts'
import { reverseName, sameAddress } from './client-address.ts'
import { addressesOf, type Lookups } from './host-addresses.ts'
import type { HostsFile } from './hosts-file.ts'

export type ReverseName = Answer<'name-client'>

const MOST_NAMES = 5
/** A client that is to be greeted waits for it. */
const PATIENCE_MS = 5000

export async function reverseNameOf(dns: Lookups, client: string): Promise<ReverseName> {
  const name = reverseName(client)
  const answer = name === null ? null : await dns.lookup(name, 'PTR')
  if (answer === null || answer.kind === 'failed') return { kind: 'later' }
  const records = answer.kind === 'records' ? answer.records : []
  const names = records.flatMap((record) => (record.kind === 'ptr' ? (toDomain(record.target) ?? []) : []))
  const looked = names.slice(0, MOST_NAMES).sort()
  const [first] = looked
  if (first === undefined) return { kind: 'none' }
  const led = await Promise.all(looked.map((one) => leadsTo(dns, one, client)))
  const confirmed = looked[led.indexOf('yes')]
  if (confirmed !== undefined) return { kind: 'confirmed', name: confirmed }
  return { kind: led.includes('unknown') ? 'later' : 'unconfirmed', name: first }
}

/** What is not known in time is not known; what DNS says afterwards is remembered for the next client. */
export async function nameClient(
  { dns, hosts }: { dns: Lookups; hosts: HostsFile },
  { client }: Payload<'name-client'>,
  patience = PATIENCE_MS,
): Promise<ReverseName> {
  const local = turned(hosts).get(client)
  if (local !== undefined) return { kind: 'confirmed', name: local }
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<ReverseName>((resolve) => {
    timer = setTimeout(() => resolve({ kind: 'later' }), patience)
  })
  const found = await Promise.race([reverseNameOf(dns, client), late])
  clearTimeout(timer)
  return found
}

const turnedFiles = new WeakMap<HostsFile, Map<string, string>>()

/** The first name of each address; made once for each reading of the file. */
function turned(hosts: HostsFile): ReadonlyMap<string, string> {
  const known = turnedFiles.get(hosts)
  if (known) return known
  const names = new Map<string, string>()
  for (const [name, addresses] of hosts)
    for (const address of addresses) if (!names.has(address)) names.set(address, name)
  turnedFiles.set(hosts, names)
  return names
}

export type Leads = 'yes' | 'no' | 'no-address' | 'unknown'

/** Whether this name has that address, or none at all. */
export async function leadsTo(dns: Lookups, name: string, client: string): Promise<Leads> {
  const found = await addressesOf(name, dns)
  if (found.kind === 'failed') return 'unknown'
  if (found.kind === 'none') return 'no-address'
  return found.addresses.some((one) => sameAddress(one, client)) ? 'yes' : 'no'
}
