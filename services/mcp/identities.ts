/**
 * Whom each worker becomes: the system users that the config names, by /etc/passwd and /etc/group.
 *
 * The gid is always the group of the buses, whatever the user's own is: it opens the directory of the buses and
 * nothing else. The user's own group is one more of those that it has. Null stands for "stays who the caller is": without root, or when the caller wants it so.
 * Fails: a user that does not exist, or is root, is a sentence in `problems`.
 */
import { type Accounts, systemAccounts } from '../../shared/config/accounts.ts'
import type { McpSlice } from '../../shared/config/slices.ts'
import type { WorkerRole } from '../../shared/runtime/service.ts'

export interface Identity {
  user: string
  uid: number
  gid: number
}
export type StandingRole = Exclude<WorkerRole, 'lda'> | 'submission'
export type Identities = Readonly<Record<StandingRole, Identity>>

export type Found = { kind: 'found'; identities: Identities } | { kind: 'missing'; problems: string[] }

export function findIdentities(
  slice: Pick<McpSlice, 'users' | 'group'>,
  accounts: Accounts = systemAccounts(),
): Found {
  const problems: string[] = []
  const gid = accounts.group(slice.group)
  if (gid === null) problems.push(`there is no group "${slice.group}"; "posthorn setup-users" makes it`)
  const find = (role: Exclude<StandingRole, 'web'>): Identity => {
    const user = slice.users[role]
    const account = accounts.user(user)
    if (!account) problems.push(`there is no user "${user}" for ${role}; "posthorn setup-users" makes it`)
    else if (account.uid === 0) problems.push(`${role} may not run as "${user}": that is root`)
    return { user, uid: account?.uid ?? 0, gid: gid ?? 0 }
  }
  const own = {
    qmgr: find('qmgr'),
    smtpd: find('smtpd'),
    submission: find('submission'),
    smtpc: find('smtpc'),
    resolver: find('resolver'),
  }
  // it reads the same certificates, and meets the same strangers
  const identities = { ...own, web: own.smtpd }
  return problems.length > 0 ? { kind: 'missing', problems } : { kind: 'found', identities }
}
