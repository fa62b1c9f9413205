/**
 * System users and groups by name, from `/etc/passwd` and `/etc/group`: the config names the users that workers
 * become. Files that cannot be read count as empty; accounts of other name services are not seen.
 */
import { readFileSync } from 'node:fs'

export interface Account {
  name: string
  uid: number
  gid: number
}

export interface Accounts {
  user: (name: string) => Account | null
  group: (name: string) => number | null
  nameOf: (uid: number) => string | null
}

/** Reads the files once, when the first name is asked for. */
export function systemAccounts(passwdFile = '/etc/passwd', groupFile = '/etc/group'): Accounts {
  let users: Map<string, Account> | null = null
  let groups: Map<string, number> | null = null
  return {
    user: (name) => {
      users ??= readUsers(passwdFile)
      return users.get(name) ?? null
    },
    group: (name) => {
      groups ??= readGroups(groupFile)
      return groups.get(name) ?? null
    },
    nameOf: (uid) => {
      users ??= readUsers(passwdFile)
      for (const account of users.values()) if (account.uid === uid) return account.name
      return null
    },
  }
}

function readUsers(file: string): Map<string, Account> {
  const users = new Map<string, Account>()
  for (const [name = '', , uid, gid] of readFields(file)) {
    const account = { name, uid: toId(uid), gid: toId(gid) }
    if (account.uid >= 0 && account.gid >= 0 && !users.has(name)) users.set(name, account)
  }
  return users
}

function readGroups(file: string): Map<string, number> {
  const groups = new Map<string, number>()
  for (const [name = '', , gid] of readFields(file)) {
    if (toId(gid) >= 0 && !groups.has(name)) groups.set(name, toId(gid))
  }
  return groups
}

function readFields(file: string): string[][] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
  } catch {
    return []
  }
}

function toId(text: string | undefined): number {
  return /^\d{1,10}$/.test(text ?? '') ? Number(text) : -1
}
