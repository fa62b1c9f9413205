/**
 * Who may use which sender: a file of lines `address: login login`, where `@domain` stands for every address there
 * that has no line of its own, and `*` for every login. A login that is an address may use that address.
 *
 * Read again when it has changed, looked at with each MAIL of somebody who has logged in. Fails: a file that cannot
 * be read lets nobody use anything but their own address, and is logged; bad lines are logged once.
 */
import { readFileSync, statSync } from 'node:fs'
import type { Log } from '../../shared/base/log.ts'
import type { ParsedFile } from '../../shared/config/map-file.ts'
import type { Moment } from './state.ts'

type Owners = ReadonlyMap<string, ReadonlySet<string>>
const FAULTS_TOLD = 10

export function parseSenderLogins(text: string): ParsedFile<Owners> {
  const owners = new Map<string, Set<string>>()
  const faults: { line: number; why: string }[] = []
  text.split('\n').forEach((raw, index) => {
    const line = raw.replace(/(^|\s)#.*$/, '').trim()
    if (line === '') return
    const [, address, logins] = /^(\S*@\S+?)\s*:\s*(.+)$/.exec(line) ?? []
    if (address === undefined || logins === undefined) {
      faults.push({ line: index + 1, why: 'not `address: login …`' })
      return
    }
    const known = owners.get(folded(address)) ?? new Set()
    for (const login of logins.split(/[\s,]+/)) known.add(login)
    owners.set(folded(address), known)
  })
  return { value: owners, faults }
}

/** The same by a map, whose values are logins. */
export function maySendByMap(
  map: string,
  login: string,
  sender: string,
  look: Moment['lookUp'],
): boolean | 'later' {
  const address = folded(sender)
  if (address === '' || address === folded(login)) return true
  const answer = look({ map, use: 'address', key: address })
  if (answer?.kind === 'missing') return false
  if (answer?.kind !== 'found') return 'later'
  const logins = answer.value.split(/[\s,]+/)
  return logins.includes(login) || logins.includes('*')
}

/** The null sender is everybody's: reports about what was read come from it (RFC 8098 section 3). */
export function maySend(owners: Owners, login: string, sender: string): boolean {
  const address = folded(sender)
  if (address === '' || address === folded(login)) return true
  const own = owners.get(address) ?? owners.get(address.slice(address.lastIndexOf('@')))
  return own !== undefined && (own.has(login) || own.has('*'))
}

/** Local parts fold too: nobody hands out `Anna` and `anna` to two people. */
function folded(address: string): string {
  return address.toLowerCase()
}

export class SenderLogins {
  readonly #path: string
  readonly #log: Log
  #stamp = ''
  #owners: Owners = new Map()

  constructor(path: string, log: Log) {
    this.#path = path
    this.#log = log
  }

  maySend = (login: string, sender: string): boolean => maySend(this.#current(), login, sender)

  #current(): Owners {
    try {
      const { ino, mtimeMs, size } = statSync(this.#path)
      const stamp = `${ino}:${mtimeMs}:${size}`
      if (stamp !== this.#stamp) this.#read(stamp)
    } catch (error) {
      if (this.#stamp !== 'none')
        this.#log.error({ file: this.#path, why: String(error) }, 'sender-login cannot be read')
      this.#stamp = 'none'
      this.#owners = new Map()
    }
    return this.#owners
  }

  #read(stamp: string): void {
    this.#stamp = stamp
    const { value, faults } = parseSenderLogins(readFileSync(this.#path, 'utf8'))
    this.#owners = value
    for (const { line, why } of faults.slice(0, FAULTS_TOLD))
      this.#log.error({ file: this.#path, line, why }, 'sender-login has a bad line')
  }
}
