/**
 * May an lda run as this uid? qmgr asks for them, and qmgr might have been broken into; so the answer comes from
 * the accounts of the system and from the files that the config names, never from what qmgr says.
 *
 * As root: never uid 0, never below the config's least uid. A system user may, if a local zone serves system
 * users and the gid is the account's own. Anyone else may if a local zone's mailbox file gives that uid and gid
 * to somebody, or if they are those that the config gives all mailboxes of a map, or of `alias-user`. As the caller: the caller's own uid only.
 * An lda that can only speak to the agent of its user may run for any account of the system from the least uid on,
 * with the gid and groups of that account, where some listener has `user-agents`.
 * Pure, over the texts of the files.
 */
import type { LdaWanted } from '../../shared/bus/messages.ts'
import type { ZoneSlice } from '../../shared/config/slices.ts'
import { OVERFLOW_UID } from '../../shared/system/credentials.ts'

type Wanted = Extract<LdaWanted, { kind: 'mailbox' }>

export interface Grounds {
  /** Uid and gid of mcp when workers stay the caller; null when mcp is root and they become others. */
  caller: { uid: number; gid: number } | null
  minimumUid: number
  zones: readonly ZoneSlice[]
  /** Some listener gives mail to the agents of users. */
  userAgents: boolean
  /** The text of a file; '' when it cannot be read. */
  read: (path: string) => string
}

export type Verdict =
  | { kind: 'stay' }
  | { kind: 'become'; user: string; uid: number; gid: number }
  | { kind: 'refused'; reason: string }

export function judgeLda(wanted: LdaWanted, grounds: Grounds): Verdict {
  const { caller, minimumUid } = grounds
  if (wanted.kind === 'agent' && !grounds.userAgents) return refused('no listener has user-agents')
  if (caller) {
    if (wanted.uid === caller.uid) return { kind: 'stay' }
    return refused(`this runs as uid ${caller.uid} and can deliver to nobody else`)
  }
  if (wanted.uid === 0) return refused(NOT_ROOT)
  if (wanted.uid < minimumUid) return refused(`uid ${wanted.uid} is below the least uid, ${minimumUid}`)
  return wanted.kind === 'agent' ? judgeAgent(wanted.uid, grounds) : judgeByAccounts(wanted, grounds)
}

const NOT_ROOT = 'root gets no mail; an alias should lead it elsewhere'

function judgeAgent(uid: number, { read }: Grounds): Verdict {
  const account = accountOf(uid, read('/etc/passwd'))
  if (!account) return refused(`there is no account of uid ${uid}`)
  if (uid === OVERFLOW_UID || account.gid === 0) return refused(`${account.user} is no account for this`)
  return { kind: 'become', ...account }
}

function judgeByAccounts(wanted: Wanted, grounds: Grounds): Verdict {
  if (wanted.gid === 0) return refused(NOT_ROOT)
  const local = grounds.zones.filter(({ type }) => type === 'local')
  const account = accountOf(wanted.uid, grounds.read('/etc/passwd'))
  if (account && local.some(({ users }) => users?.kind === 'system')) {
    if (account.gid !== wanted.gid) return refused(`gid ${wanted.gid} is not that of ${account.user}`)
    return { kind: 'become', ...account }
  }
  const listed = local.some(({ users, aliasUser }) => {
    if (aliasUser?.uid === wanted.uid && aliasUser.gid === wanted.gid) return true
    if (users?.kind === 'map') return users.owner?.uid === wanted.uid && users.owner.gid === wanted.gid
    return users?.kind === 'file' && isListed(wanted, grounds.read(users.path))
  })
  if (!listed) return refused(`no local zone has a mailbox of uid ${wanted.uid} and gid ${wanted.gid}`)
  // a name that no account has: it must not bring supplementary groups along
  return { kind: 'become', user: account?.user ?? `#${wanted.uid}`, uid: wanted.uid, gid: wanted.gid }
}

function accountOf(uid: number, passwd: string): { user: string; uid: number; gid: number } | null {
  for (const line of passwd.split('\n')) {
    const [user = '', , number, gid] = line.split(':')
    if (Number(number) === uid && number && gid) return { user, uid, gid: Number(gid) }
  }
  return null
}

/** A line of a mailbox file: `name:uid:gid:home` and more. */
function isListed(wanted: Wanted, mailboxes: string): boolean {
  return mailboxes.split('\n').some((line) => {
    const [name = '', uid, gid] = line.trim().split(':')
    if (name === '' || name.startsWith('#') || !uid || !gid) return false
    return Number(uid) === wanted.uid && Number(gid) === wanted.gid
  })
}

function refused(reason: string): Verdict {
  return { kind: 'refused', reason }
}
