/**
 * From which address of ours a connection goes out, where the config names some (`source`): of the target's family; the
 * same for a host each time, so that it gets to know it, or in turns. Pure but for the turns. Targets of a family that no
 * `source` has are not tried.
 */
import { isIPv6 } from 'node:net'
import type { Source } from '../../shared/config/options-outgoing.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import { isSocketPath, type Target } from './hosts.ts'

let turn = 0

/** Undefined: the system chooses. */
export function sourceFor(source: Source | null, target: Target): string | undefined {
  const pool = poolFor(source, target)
  if (!source || pool.length === 0) return undefined
  return pool[(source.turns ? turn++ : hashOf(target.name)) % pool.length]
}

/** Whether there is an address to go there from. */
export function hasSource(source: Source | null, target: Target): boolean {
  return source === null || isSocketPath(target.address) || poolFor(source, target).length > 0
}

function poolFor(source: Source | null, { address }: Target): string[] {
  if (isSocketPath(address)) return []
  return (source?.addresses ?? []).filter((one) => isIPv6(one) === isIPv6(address))
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}

// RFC 3463 section 3.4: system incorrectly configured
export const NO_SOURCE = own(451, '4.3.5', 'there is no `source` of the family of its addresses')

export function notOurs(address: string): Reply {
  return own(451, '4.3.5', `\`source ${address}\` is no address of this machine`)
}
