/**
 * Names behind the uid and gid of a local caller: login name, full name and groups, from `/etc/passwd` and
 * `/etc/group`, which are read again when they change.
 *
 * The full name is the first part of the GECOS field, in which `&` stands for the login name with a capital
 * (passwd(5)). Groups are those of the two gids and those that list the name as a member. While `/etc/passwd`
 * cannot be read nobody is known.
 */
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { ParsedFile } from '../../shared/config/map-file.ts'
import { WatchedFile } from './watched-file.ts'

interface Person {
  name: string
  gid: number
  fullName: string
}
type People = ReadonlyMap<number, Person>

interface Groups {
  byGid: ReadonlyMap<number, readonly string[]>
  byMember: ReadonlyMap<string, readonly string[]>
}

const ID = /^\d{1,10}$/
const LONGEST_NAME = 200

export function parsePeople(text: string): ParsedFile<People> {
  const value = new Map<number, Person>()
  for (const line of text.split('\n')) {
    const [name = '', , uid = '', gid = '', gecos = ''] = line.split(':')
    if (name === '' || !ID.test(uid) || !ID.test(gid) || value.has(Number(uid))) continue
    value.set(Number(uid), { name, gid: Number(gid), fullName: fullNameOf(gecos, name) })
  }
  return { value, faults: [] }
}

function fullNameOf(gecos: string, name: string): string {
  const [first = ''] = gecos.split(',', 1)
  const capital = name.charAt(0).toUpperCase() + name.slice(1)
  const text = first.replaceAll('&', capital).replace(/[\p{Cc}\ufffd]+/gu, ' ')
  return text.trim().slice(0, LONGEST_NAME)
}

export function parseGroups(text: string): ParsedFile<Groups> {
  const byGid = new Map<number, string[]>()
  const byMember = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [name = '', , gid = '', members = ''] = line.split(':')
    if (name === '' || !ID.test(gid)) continue
    add(byGid, Number(gid), name)
    for (const member of members.split(',')) if (member !== '') add(byMember, member.trim(), name)
  }
  return { value: { byGid, byMember }, faults: [] }
}

function add<K>(map: Map<K, string[]>, key: K, name: string): void {
  const known = map.get(key)
  if (known) known.push(name)
  else map.set(key, [name])
}

export class Callers {
  readonly #people: WatchedFile<People>
  readonly #groups: WatchedFile<Groups>
  readonly #now: () => number

  constructor(files: { passwd: string; group: string }, log: Log, now: () => number) {
    this.#people = new WatchedFile(files.passwd, parsePeople, log)
    this.#groups = new WatchedFile(files.group, parseGroups, log)
    this.#now = now
  }

  find({ uid, gid }: Payload<'caller'>): Answer<'caller'> {
    this.#people.look(this.#now())
    this.#groups.look(this.#now())
    const person = this.#people.value?.get(uid)
    if (!person) return { kind: 'unknown' }
    const { name, fullName } = person
    const groups = this.#groups.value
    const all = [
      ...(groups?.byGid.get(gid) ?? []),
      ...(groups?.byGid.get(person.gid) ?? []),
      ...(groups?.byMember.get(name) ?? []),
    ]
    return { kind: 'known', name, fullName, groups: [...new Set(all)] }
  }
}
