/**
 * What a session may do by who its client is: the first `policy` section that fits decides (`PolicySlice`).
 *
 * Pure. A local caller is who the kernel says (uid and gid) with the name and groups that the resolver knows; one
 * without a name has no rights at all, unless a policy or the server's own uid names its number; one whose uid the
 * kernel cannot tell is anonymous, which is what every stranger on the network is. Root is trusted where no policy
 * says otherwise.
 */
import type { PolicySlice } from '../../shared/config/policy-slice.ts'
import type { Author } from './submission.ts'

export interface Caller {
  /** Kernel-proven; absent for who has logged in from the network. */
  uid?: number
  /** The login name; null: the system knows none. */
  name: string | null
  fullName: string
  groups: readonly string[]
}

export interface Rights {
  /** The policy's name, '' where none fits. */
  policy: string
  /** `file:line:column` of what decided, '' where nothing in the config did. */
  place: string
  /** May hand in mail; later: it cannot be told now. */
  mail: 'yes' | 'no' | 'later'
  /** May send as anybody, as is. */
  trusted: boolean
  /** Patterns of reverse-paths and of addresses in From; null allows all. */
  senders: Allowed | null
  from: Allowed | null
  messageSizeLimit: number | null
  recipientLimit: number | null
  /** Whom its mail is counted with. */
  account: string | null
}

/** Patterns with the caller's name in them, and where they stand. */
export interface Allowed {
  patterns: readonly string[]
  place: string
}

/** What the rights are worked out against. */
export interface Site {
  policies: readonly PolicySlice[]
  qualifyDomain: string
  /** The server's own uid. */
  ownUid: number
}

export const unrestricted: Rights = {
  policy: '',
  place: '',
  mail: 'yes',
  trusted: false,
  senders: null,
  from: null,
  messageSizeLimit: null,
  recipientLimit: null,
  account: null,
}

export function rightsOf(caller: Caller, site: Site): Rights {
  const policy = site.policies.find((one) => fits(one, caller))
  const { name, uid } = caller
  if (!policy) {
    const known = name !== null || uid === site.ownUid
    return { ...unrestricted, mail: known ? 'yes' : 'no', trusted: uid === 0 }
  }
  const fill = (patterns: readonly string[]) =>
    patterns.flatMap((pattern) => fillIn(pattern, name, site.qualifyDomain))
  const allowed = (option: PolicySlice['senders']): Allowed | null =>
    option && { patterns: fill(option.patterns), place: option.place }
  return {
    policy: policy.name,
    place: policy.place,
    mail: policy.deny ? 'no' : 'yes',
    trusted: policy.trusted,
    senders: allowed(policy.senders),
    from: allowed(policy.from),
    messageSizeLimit: policy.messageSizeLimit,
    recipientLimit: policy.recipientLimit,
    account: policy.account?.replaceAll('%u', name ?? String(uid)) ?? null,
  }
}

/** Without `users` and `groups` a policy is for everybody who has a name. */
function fits({ users, groups }: PolicySlice, { uid, name, groups: own }: Caller): boolean {
  if (users.some((user) => user === uid || (name !== null && user === name))) return true
  if (name === null) return false
  return users.length + groups.length === 0 || groups.some((group) => own.includes(group))
}

/** None where it would stand for a name that is not there. */
function fillIn(pattern: string, name: string | null, domain: string): string[] {
  if (pattern.includes('%u') && name === null) return []
  const text = pattern.replaceAll('%u', (name ?? '').replaceAll('*', '?')).toLowerCase()
  return [text.includes('@') ? text : `${text}@${domain}`]
}

/** @param delimiter of `+detail`, which a pattern without one does not look at; '': there is none. */
export function matches(patterns: readonly string[], address: string, delimiter: string): boolean {
  const at = address.lastIndexOf('@')
  const local = address.slice(0, at).toLowerCase()
  const domain = address.slice(at + 1).toLowerCase()
  const detail = delimiter === '' ? -1 : local.indexOf(delimiter, 1)
  const bare = detail < 0 ? local : local.slice(0, detail)
  return patterns.some((pattern) => {
    const split = pattern.lastIndexOf('@')
    const wanted = pattern.slice(0, split)
    const seen = delimiter !== '' && wanted.includes(delimiter) ? local : bare
    return isLike(wanted, seen) && isLike(pattern.slice(split + 1), domain)
  })
}

/** `*` stands for any run of characters. Linear: each part is looked for once, from the left. */
export function isLike(pattern: string, text: string): boolean {
  const parts = pattern.split('*')
  const [first = ''] = parts
  if (parts.length === 1) return pattern === text
  const last = parts[parts.length - 1] ?? ''
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length)
    return false
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    at = text.indexOf(part, at)
    if (at < 0) return false
    at += part.length
  }
  return at <= text.length - last.length
}

/** The person behind a caller, as a From says it. */
export function authorOf({ name, uid, fullName }: Caller, domain: string): Author {
  const local = name ?? `uid${uid}`
  // a login may be an address itself
  return { address: local.includes('@') ? local : `${local}@${domain}`, fullName }
}

export interface Judge {
  mayMail: (sender: string) => boolean
  mayWrite: (address: string) => boolean
  owns: (address: string) => boolean
}

/** The rights as questions about addresses; the null reverse-path is everybody's. */
export function judgeOf(
  rights: Rights,
  author: Author | null,
  { qualifyDomain, delimiter }: { qualifyDomain: string; delimiter: string },
): Judge {
  const whole = (address: string) => (address.includes('@') ? address : `${address}@${qualifyDomain}`)
  const allows = (allowed: Allowed | null, address: string) =>
    allowed === null || rights.trusted || matches(allowed.patterns, whole(address), delimiter)
  const written = rights.from ?? rights.senders
  const own = [...(author ? [author.address.toLowerCase()] : []), ...(written?.patterns ?? [])]
  return {
    mayMail: (sender) => sender === '' || allows(rights.senders, sender),
    mayWrite: (address) => allows(written, address),
    owns: (address) => rights.trusted || matches(own, whole(address), delimiter),
  }
}
