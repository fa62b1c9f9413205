/**
 * May an lda run as this uid? qmgr asks for them, and qmgr might have been broken into; so the answer comes from
 * the accounts of the system and from the files that the config names, never from what qmgr says.
 *
 * As root: never uid 0, never below the config's least uid. A system user may, if a local zone serves system
 * users and the gid is the account's own. Anyone else may if a local zone's mailbox file gives that uid and gid
 * to somebody. As the caller: the caller's own uid only.
 * Pure, over the texts of the files.
 */
import type { ZoneSlice } from '../../shared/config/slices.ts'

export interface Wanted {
  uid: number
  gid: number
  user: string
}

export interface Grounds {
  /** Uid and gid of mcp when workers stay the caller; null when mcp is root and they become others. */
  caller: { uid: number; gid: number } | null
  minimumUid: number
  zones: readonly ZoneSlice[]
  /** The text of a file; '' when it cannot be read. */
  read: (path: string) => string
}

export type Verdict =
  | { kind: 'stay' }
  | { kind: 'become'; user: string; uid: number; gid: number }
  | { kind: 'refused'; reason: string }

export function judgeLda(wanted: Wanted, grounds: Grounds): Verdict {
  const { caller, minimumUid } = grounds
  if (caller) {
    if (wanted.uid === caller.uid) return { kind: 'stay' }
    return refused(`this runs as uid ${caller.uid} and can deliver to nobody else`)
  }
  if (wanted.uid === 0 || wanted.gid === 0)
    return refused('root gets no mail; an alias should lead it elsewhere')
  if (wanted.uid < minimumUid) return refused(`uid ${wanted.uid} is below the least uid, ${minimumUid}`)
  return judgeByAccounts(wanted, grounds)
}

function judgeByAccounts(wanted: Wanted, grounds: Grounds): Verdict {
  const local = grounds.zones.filter(({ type }) => type === 'local')
  const account = accountOf(wanted.uid, grounds.read('/etc/passwd'))
  if (account && local.some(({ users }) => users?.kind === 'system')) {
    if (account.gid !== wanted.gid) return refused(`gid ${wanted.gid} is not that of ${account.user}`)
    return { kind: 'become', ...account }
  }
  const listed = local.some(
    ({ users }) => users?.kind === 'file' && isListed(wanted, grounds.read(users.path)),
  )
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
