/**
 * Who has a mailbox: the readers of `/etc/passwd` and of a zone's mailbox file. Pure.
 *
 * A mailbox file has a line for each mailbox, `name:uid:gid:home[:maildir]`; lines that begin with `#` are
 * comments. A home that is not absolute begins at the file's own folder. Empty uid and gid mean the caller's own
 * where everything runs as its caller (`unprivileged`). Names are compared without regard to case.
 *
 * A line with a fault is reported; its name, where it has one, stays known as 'faulty', because mail for a
 * mailbox that a typing mistake hides has to wait, not to return. Root never has a mailbox, except its own when
 * everything runs as root because root called it.
 */
import { isAbsolute, resolve } from 'node:path'
import type { Fault, ParsedFile } from '../../shared/config/map-file.ts'

export interface User {
  name: string
  uid: number
  gid: number
  home: string
  /** The line's own Maildir, where it names one. */
  maildir: string | null
}
export type Users = ReadonlyMap<string, User | 'faulty'>

export interface Caller {
  uid: number
  gid: number
}

/** The kernel's overflow uid, `nobody`: it owns nothing. */
const NOBODY = 65534
const MOST_ID = 2 ** 32 - 2

export interface SystemUsers {
  byName: ReadonlyMap<string, User>
  byUid: ReadonlyMap<number, string>
}

/** Every account; who of them is local is decided by `hasMailbox`. */
export function parsePasswd(text: string): ParsedFile<SystemUsers> {
  const byName = new Map<string, User>()
  const byUid = new Map<number, string>()
  for (const line of text.split('\n')) {
    const [name = '', , uidText, gidText, , home = ''] = line.split(':')
    const uid = toId(uidText)
    const gid = toId(gidText)
    if (name === '' || uid === null || gid === null || !isAbsolute(home)) continue
    const key = name.toLowerCase()
    if (!byName.has(key)) byName.set(key, { name, uid, gid, home, maildir: null })
    if (!byUid.has(uid)) byUid.set(uid, name)
  }
  return { value: { byName, byUid }, faults: [] }
}

export function hasMailbox(user: User, minimumUid: number, caller: Caller | null): boolean {
  if (caller && user.uid === caller.uid) return true
  return user.uid >= minimumUid && user.uid !== 0 && user.uid !== NOBODY
}

/** @param folder where the file lies. */
export function parseMailboxFile(text: string, folder: string, caller: Caller | null): ParsedFile<Users> {
  const value = new Map<string, User | 'faulty'>()
  const faults: Fault[] = []
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const key = line.split(':', 1)[0]?.toLowerCase() ?? ''
    const user = value.has(key) ? `${key} has a mailbox already` : parseLine(line, folder, caller)
    if (typeof user === 'string') faults.push({ line: index + 1, why: user })
    if (typeof user !== 'string') value.set(key, user)
    else if (key !== '' && !value.has(key)) value.set(key, 'faulty')
  }
  return { value, faults }
}

/** A user, or why the line has none. */
function parseLine(line: string, folder: string, caller: Caller | null): User | string {
  const fields = line.split(':')
  if (fields.length < 4 || fields.length > 5) return 'expected name:uid:gid:home or name:uid:gid:home:maildir'
  const [name = '', uidText = '', gidText = '', home = '', maildir = ''] = fields
  if (!/^[^\s@"\\/\p{Cc}]{1,64}$/u.test(name)) return `\`${name}\` is no name of a mailbox`
  const uid = uidText === '' ? caller?.uid : toId(uidText)
  const gid = gidText === '' ? caller?.gid : toId(gidText)
  if (uid === undefined || gid === undefined) return 'uid and gid may be empty only without root'
  if (uid === null || gid === null) return 'uid and gid are numbers'
  if (uid === 0 && caller?.uid !== 0) return 'root has no mailbox: mail for root needs an alias'
  if (home === '') return 'the home is missing'
  if (`${home}${maildir}`.includes('\0')) return 'a path has a NUL in it'
  return { name, uid, gid, home: resolve(folder, home), maildir: maildir === '' ? null : maildir }
}

/**
 * The value of a map, `home[:maildir]` with an absolute home: a user, or why it is none.
 *
 * @param owner whose files these are.
 */
export function userOf(name: string, value: string, owner: Caller | null): User | string {
  if (!owner) return 'nobody is named whose files these are'
  if (!isAbsolute(value)) return 'the home is not absolute'
  return parseLine(`${name}:${owner.uid}:${owner.gid}:${value}`, '/', owner)
}

/** Where a user's Maildir is: the line's own word, else the zone's, else `~/Maildir`. */
export function maildirOf(user: User, zoneMaildir: string | null): string {
  const path = user.maildir ?? zoneMaildir ?? '~/Maildir'
  return resolve(user.home, path.startsWith('~/') ? path.slice(2) : path)
}

function toId(text: string | undefined): number | null {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return null
  const id = Number(text)
  return id <= MOST_ID ? id : null
}
