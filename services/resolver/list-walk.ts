/**
 * The members of a list, one after another: aliases with `:include:`, with long lines, with owners, in one another to
 * any number below MOST_MEMBERS. Between a few of them the event loop gets its turn, however long the list.
 *
 * Each member is given once. What goes to members of a list with an owner has the owner as reverse-path; the innermost
 * owner counts (RFC 5321 section 3.9.2). A member that leads nowhere is given as it stands, so that its failure is told
 * to the owner and not to all; a fault in a file is logged with its line and left out. Commands and files in an included
 * file are such failures: whoever keeps a list of members is not whom `alias-user` trusts.
 *
 * Fails: throws `ListTrouble` when something cannot be read, or the list is too long: it is walked again later.
 */
import { setImmediate } from 'node:timers/promises'
import type { Log } from '../../shared/base/log.ts'
import { type AliasTarget, targetsIn, targetsOf, whyNot } from '../../shared/config/alias-file.ts'
import { type Address, formatAddress } from '../../shared/smtp/address.ts'
import { commandOrFile, type End, keyOf, type ListEnd } from './expansion.ts'
import type { IncludedLine } from './include-file.ts'
import type { ReplyName } from './replies.ts'

export const MOST_MEMBERS = 200_000
/** Two or three milliseconds of work. */
const STEPS_AT_ONCE = 100

export interface Member {
  address: string
  sender?: string
  via?: string
}

export class ListTrouble extends Error {
  readonly reply: ReplyName

  constructor(reply: ReplyName, why: string) {
    super(why)
    this.reply = reply
  }
}

export interface ListSources {
  ends(address: Address, follow: boolean, path: readonly string[]): End[] | Promise<End[]>
  lines(path: string): AsyncIterable<IncludedLine>
  log: Pick<Log, 'warn'>
}

/** Where a target stands. */
interface Branch {
  list: ListEnd
  /** The aliases that led here, this one last. */
  path: readonly string[]
  /** The included files that led here. */
  files: readonly string[]
  sender: string | null
}

export class ListWalk {
  readonly #sources: ListSources
  readonly #seen = new Set<string>()
  readonly #given = new Set<string>()
  #steps = 0

  constructor(sources: ListSources) {
    this.#sources = sources
  }

  async *members(address: Address): AsyncGenerator<Member, void> {
    yield* this.#address(address, true, [], null)
  }

  async *#address(
    address: Address,
    follow: boolean,
    path: readonly string[],
    sender: string | null,
  ): AsyncGenerator<Member, void> {
    const ends = this.#sources.ends(address, follow, path)
    for (const end of ends instanceof Promise ? await ends : ends) {
      if (end.kind === 'list') yield* this.#list(end, path, sender)
      else yield* this.#end(end, sender)
    }
  }

  async *#list(list: ListEnd, path: readonly string[], sender: string | null): AsyncGenerator<Member, void> {
    const key = keyOf(list.zone, list.alias)
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    const own = list.owner ? formatAddress(list.owner) : sender
    const branch: Branch = { list, path: [...path, key], files: [], sender: own }
    for (const target of targetsOf(list.alias))
      yield* this.#target(branch, target, `alias ${list.alias.name}`)
  }

  async *#target(branch: Branch, target: AliasTarget, place: string): AsyncGenerator<Member, void> {
    if (++this.#steps % STEPS_AT_ONCE === 0) await setImmediate()
    const { list, path, sender } = branch
    if (target.kind === 'address') {
      const { local, domain } = target.address
      return yield* this.#address(
        { local, domain: domain || list.address.domain },
        !target.final,
        path,
        sender,
      )
    }
    if (target.kind === 'include') return yield* this.#include(branch, target.text)
    if (target.kind === 'pipe' || target.kind === 'file')
      return yield* this.#end(commandOrFile(list, target.kind, target.text), sender)
    this.#sources.log.warn({ at: place, why: whyNot(target) }, 'a list has a fault')
  }

  async *#include(branch: Branch, path: string): AsyncGenerator<Member, void> {
    if (branch.files.includes(path)) {
      const loop = [...branch.files, path].join(' -> ')
      return this.#sources.log.warn({ at: branch.list.alias.name, path: loop }, 'files include one another')
    }
    const key = `:include:${path}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    const inner = { ...branch, files: [...branch.files, path] }
    try {
      for await (const { line, text } of this.#sources.lines(path))
        for (const target of targetsIn(text)) yield* this.#target(inner, target, `${path}:${line}`)
    } catch (error) {
      if (error instanceof ListTrouble) throw error
      throw new ListTrouble('mapsUnreadable', error instanceof Error ? error.message : String(error))
    }
  }

  *#end(end: Exclude<End, ListEnd>, sender: string | null): Generator<Member, void> {
    if (end.kind === 'failed') this.#failed(end)
    const { local, domain } = end.address
    // local names are one in any case, and whoever compares addresses later does not know which are local
    const address = formatAddress({ local: end.kind === 'mailbox' ? local.toLowerCase() : local, domain })
    if (this.#given.has(address)) return
    if (this.#given.size >= MOST_MEMBERS)
      throw new ListTrouble('aliasTooMany', `a list of more than ${MOST_MEMBERS} members`)
    this.#given.add(address)
    const via = end.kind === 'pipe' || end.kind === 'file' ? formatAddress(end.via) : null
    yield { address, ...(sender !== null && { sender }), ...(via !== null && { via }) }
  }

  #failed({ address, failure }: Extract<End, { kind: 'failed' }>): void {
    const text = formatAddress(address)
    if (failure.kind === 'unreadable')
      throw new ListTrouble('mapsUnreadable', `${text} cannot be looked up now`)
    const path = 'path' in failure ? { path: failure.path.join(' -> ') } : {}
    this.#sources.log.warn({ address: text, ...failure, ...path }, 'a member of a list leads nowhere')
  }
}
