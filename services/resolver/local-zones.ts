/**
 * The files behind the local zones, as the `Directory` that `expansion.ts` asks: `/etc/passwd`, mailbox files and
 * alias files, each read once however many zones name it, and again when it changes.
 *
 * Fails: where a file has never been readable the answer is 'unreadable' and the recipient waits.
 */
import { dirname } from 'node:path'
import type { Log } from '../../shared/base/log.ts'
import { type Alias, type Aliases, parseAliasFile } from '../../shared/config/alias-file.ts'
import type { ResolverSlice, ZoneSlice } from '../../shared/config/slices.ts'
import type { Mailbox } from '../../shared/message/route.ts'
import type { Address } from '../../shared/smtp/address.ts'
import { parseMailbox } from '../../shared/smtp/address.ts'
import { targetOf } from './delivery-target.ts'
import type { Directory, Found } from './expansion.ts'
import {
  hasMailbox,
  parseMailboxFile,
  parsePasswd,
  type SystemUsers,
  type User,
  type Users,
} from './users.ts'
import { WatchedFile } from './watched-file.ts'
import { ZoneTable } from './zones.ts'

export interface LocalOptions {
  slice: ResolverSlice
  log: Log
  /** `/etc/passwd`, another one in tests. */
  passwdFile: string
}

export class LocalZones implements Directory {
  readonly delimiter: string
  readonly primary: string | null
  readonly #zones: ZoneTable
  /** Whose mailbox alone can be written to, without root. */
  readonly caller: ResolverSlice['unprivileged']
  readonly #passwd: WatchedFile<SystemUsers>
  readonly #mailboxes = new Map<string, WatchedFile<Users>>()
  readonly #aliases = new Map<string, WatchedFile<Aliases>>()
  readonly #files: readonly WatchedFile<unknown>[]

  constructor({ slice, log, passwdFile }: LocalOptions) {
    this.#zones = new ZoneTable(slice.zones)
    this.primary = this.#zones.primary
    this.delimiter = slice.recipientDelimiter
    this.caller = slice.unprivileged
    this.#passwd = new WatchedFile(passwdFile, parsePasswd, log)
    for (const { users, aliases } of slice.zones) {
      if (users?.kind === 'file') this.#mailboxes.set(users.path, this.#mailboxFile(users.path, log))
      for (const table of aliases) {
        if (table.kind === 'file')
          this.#aliases.set(table.path, new WatchedFile(table.path, parseAliasFile, log))
      }
    }
    const hasLocal = slice.zones.some((zone) => zone.type === 'local')
    const system = hasLocal ? [this.#passwd] : []
    this.#files = [...system, ...this.#mailboxes.values(), ...this.#aliases.values()]
  }

  #mailboxFile(path: string, log: Log): WatchedFile<Users> {
    return new WatchedFile(path, (text) => parseMailboxFile(text, dirname(path), this.caller), log)
  }

  /** Looks for changed files; a number that grows when there is one. */
  look(now: number): number {
    let version = 0
    for (const file of this.#files) {
      file.look(now)
      version += file.version
    }
    return version
  }

  zone(domain: string): ZoneSlice | null {
    return this.#zones.find(domain)
  }

  alias(zone: ZoneSlice, name: string): Found<Alias> {
    for (const table of zone.aliases) {
      const alias = table.kind === 'file' ? this.aliasIn(table.path, name) : null
      if (alias) return alias
    }
    return null
  }

  /** As an alias of every name. */
  rest({ catchAll, name }: ZoneSlice): Alias | null {
    const parsed = catchAll === undefined ? null : parseMailbox(catchAll, { utf8: true, unqualified: true })
    if (!parsed?.ok) return null
    return {
      name: `@${name}`,
      line: 0,
      targets: [{ kind: 'address', address: parsed.address, final: false }],
    }
  }

  aliasIn(path: string, name: string): Found<Alias> {
    const file = this.#aliases.get(path)?.value
    return file ? (file.get(name) ?? null) : 'unreadable'
  }

  /** Where it stands: `file:line`. */
  aliasPlace(zone: ZoneSlice, alias: Alias): string {
    if (alias.name.startsWith('@')) return `zone "${zone.name}"`
    const paths = zone.aliases.flatMap((one) => (one.kind === 'file' ? [one.path] : []))
    const path = paths.find((one) => this.#aliases.get(one)?.value?.get(alias.name) === alias)
    return `${path ?? ''}:${alias.line}`
  }

  user(zone: ZoneSlice, name: string): Found<User> {
    const { users } = zone
    if (!users) return null
    if (users.kind === 'system')
      return users.except?.includes(name) ? null : this.#systemUser(name, users.minimumUid)
    if (users.kind === 'map') return null
    const file = this.#mailboxes.get(users.path)?.value
    const user = file ? file.get(name) : 'faulty'
    return user === 'faulty' ? 'unreadable' : (user ?? null)
  }

  #systemUser(name: string, minimumUid: number): Found<User> {
    const system = this.#passwd.value
    if (!system) return 'unreadable'
    const user = system.byName.get(name)
    return user && hasMailbox(user, minimumUid, this.caller) ? user : null
  }

  /** The account that commands and files of a zone's aliases belong to. */
  aliasAccount({ aliasUser }: ZoneSlice): Omit<Mailbox, 'format' | 'path'> | null {
    if (!aliasUser) return null
    const { user, uid, gid } = aliasUser
    return { user, uid, gid, home: this.#passwd.value?.byName.get(user.toLowerCase())?.home ?? '/' }
  }

  /**
   * `null` when this uid's mailbox cannot be written to: without root only the caller's own can. The owner is
   * named as the system knows the uid, because its groups go by that name; one that the system does not know is
   * `#uid`, a name that no account can have.
   */
  mailbox(zone: ZoneSlice, user: User, address: Address): Mailbox | null {
    if (this.caller && user.uid !== this.caller.uid) return null
    return {
      user: this.#passwd.value?.byUid.get(user.uid) ?? `#${user.uid}`,
      uid: user.uid,
      gid: user.gid,
      home: user.home,
      ...targetOf(zone, user, address, this.delimiter),
    }
  }
}
