/**
 * Lists as qmgr asks for them: a page of members at a time, from a walk that is kept between the questions.
 *
 * Fails: trouble in the middle, and a walk that nobody knows any more (a new config, a new process, too many others),
 * are `later`, and qmgr begins anew. Limits: MOST_WALKS at one time, the one that was longest not asked for goes first;
 * a page has PAGE_MEMBERS.
 */
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import { parseMailbox } from '../../shared/smtp/address.ts'
import { type ListSources, ListTrouble, ListWalk, type Member } from './list-walk.ts'
import { refusal } from './replies.ts'

const MOST_WALKS = 32
const PAGE_MEMBERS = 500

type Page = Answer<'expand'>

export class ListPages {
  readonly #sources: ListSources
  readonly #look: () => void
  readonly #log: Log
  /** By the cursor that goes on with it, in the order of their last use. */
  readonly #walks = new Map<string, AsyncGenerator<Member, void>>()
  #cursors = 0

  /** @param look has files that have changed read, before a walk begins. */
  constructor(sources: ListSources, look: () => void, log: Log) {
    this.#sources = sources
    this.#look = look
    this.#log = log
  }

  async page({ address, after }: Payload<'expand'>): Promise<Page> {
    const walk = after === null ? this.#begin(address) : this.#walks.get(after)
    if (after !== null) this.#walks.delete(after)
    if (!walk) return refusal(after === null ? 'notAnAddress' : 'mapsUnreadable')
    try {
      return await this.#read(walk)
    } catch (error) {
      const reply = error instanceof ListTrouble ? error.reply : 'mapsUnreadable'
      this.#log.error(
        { address, why: error instanceof Error ? error.message : String(error) },
        'list not expanded',
      )
      return refusal(reply)
    }
  }

  /** Files that are open are closed. */
  close(): void {
    for (const walk of this.#walks.values()) void walk.return()
    this.#walks.clear()
  }

  #begin(text: string): AsyncGenerator<Member, void> | null {
    this.#look()
    const parsed = parseMailbox(text, { utf8: true })
    return parsed.ok ? new ListWalk(this.#sources).members(parsed.address) : null
  }

  async #read(walk: AsyncGenerator<Member, void>): Promise<Page> {
    const members: Member[] = []
    while (members.length < PAGE_MEMBERS) {
      const { done, value } = await walk.next()
      if (done) return { kind: 'found', members, next: null }
      members.push(value)
    }
    return { kind: 'found', members, next: this.#keep(walk) }
  }

  #keep(walk: AsyncGenerator<Member, void>): string {
    const cursor = String(++this.#cursors)
    this.#walks.set(cursor, walk)
    if (this.#walks.size > MOST_WALKS) {
      const [oldest = ''] = this.#walks.keys()
      void this.#walks.get(oldest)?.return()
      this.#walks.delete(oldest)
    }
    return cursor
  }
}
