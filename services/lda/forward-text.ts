/**
 * What a user's `.forward` says: addresses apart by commas and line ends, lines that begin with `#` are comments, `\name`
 * of oneself (or one's own name or address) keeps a copy. Pure.
 *
 * A file that says nothing is as good as none. One with anything in it that cannot be followed is not followed at all: the
 * mail stays in the mailbox, where nothing is lost, and the log says why. Limit: MOST_TARGETS.
 */
import { targetsIn, whyNot } from '../../shared/config/alias-file.ts'
import { type Address, formatAddress, parseMailbox } from '../../shared/smtp/address.ts'

export const MOST_TARGETS = 100

export type Forward =
  | { kind: 'none' }
  /** Into the mailbox, as if there were no file. */
  | { kind: 'faulty'; line: number; why: string }
  | { kind: 'forward'; to: string[]; keep: boolean }

/** @param address whose mail it is. @param user as the system knows them. */
export function readForward(text: string, address: string, user: string): Forward {
  const own = parseMailbox(address, { utf8: true })
  if (!own.ok) return { kind: 'none' }
  const to = new Set<string>()
  let keep = false
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(#|$)/.test(line)) continue
    for (const target of targetsIn(line.trim())) {
      const fault =
        target.kind === 'address' ? null : (whyNot(target) ?? `a ${target.kind} is not taken here`)
      if (fault !== null || target.kind !== 'address')
        return { kind: 'faulty', line: index + 1, why: fault ?? '' }
      if (isOwn(target.address, own.address, user)) keep = true
      else to.add(formatAddress({ ...target.address, domain: target.address.domain || own.address.domain }))
      if (to.size > MOST_TARGETS)
        return { kind: 'faulty', line: index + 1, why: `more than ${MOST_TARGETS} addresses` }
    }
  }
  if (to.size === 0) return { kind: 'none' }
  return { kind: 'forward', to: [...to], keep }
}

/** Oneself, by the name of the account or by the address that the mail is for. */
function isOwn({ local, domain }: Address, own: Address, user: string): boolean {
  if (domain !== '' && domain !== own.domain) return false
  const name = local.toLowerCase()
  return name === own.local.toLowerCase() || name === user.toLowerCase()
}
