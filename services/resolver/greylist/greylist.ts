/**
 * Greylisting as smtpd and the `posthorn greylist` command ask for it: decisions (`decision.ts`) over what is
 * remembered (`store.ts`).
 *
 * Our own trouble puts nobody off: when the database cannot be opened, read or written, all mail passes and the log
 * says so. What changes nothing but the time of the last mail is written once an hour at most.
 */
import { join } from 'node:path'
import type { Log } from '../../../shared/base/log.ts'
import type { Answer, Payload } from '../../../shared/bus/messages.ts'
import { networkOf } from '../../../shared/config/network.ts'
import type { GreylistSlice } from '../../../shared/config/slices.ts'
import { decide, expiresAt, isKnown, type Memory, senderKey, withOneMore } from './decision.ts'
import { GreylistStore, type Key, loadSqlite } from './store.ts'

type Question = Payload<'greylist'>
type Verdict = Answer<'greylist'>

const PASS: Verdict = { wait: 0, known: false }
const WRITE_AGAIN_MS = 3_600_000
const MOST_LISTED = 1000

export class Greylist {
  readonly #slice: GreylistSlice
  readonly #log: Log
  readonly #now: () => number
  /** Null when it cannot be used; undefined until that is known. */
  #store: GreylistStore | null | undefined
  readonly #opening: Promise<GreylistStore | null>

  /** @param now milliseconds since 1970: what is remembered outlives this process. */
  constructor(slice: GreylistSlice, log: Log, now: () => number = Date.now) {
    this.#slice = slice
    this.#log = log
    this.#now = now
    this.#opening = this.#open().then((store) => {
      this.#store = store
      return store
    })
  }

  async #open(): Promise<GreylistStore | null> {
    try {
      return new GreylistStore(
        await loadSqlite(),
        join(this.#slice.directory, 'greylist.db'),
        this.#slice.entries,
      )
    } catch (error) {
      this.#log.error({ err: error }, 'greylist cannot be opened, all mail passes')
      return null
    }
  }

  ask(question: Question): Verdict | Promise<Verdict> {
    if (this.#store !== undefined) return this.#answer(this.#store, question)
    return this.#opening.then((store) => this.#answer(store, question))
  }

  #answer(store: GreylistStore | null, question: Question): Verdict {
    if (!store) return PASS
    try {
      return this.#decide(store, question)
    } catch (error) {
      this.#log.error({ err: error }, 'greylist cannot be asked, mail passes')
      return PASS
    }
  }

  #decide(store: GreylistStore, { client, sender, recipient }: Question): Verdict {
    const now = this.#now()
    const network = networkOf(client)
    const whole: Key = { network, sender: '', recipient: '' }
    const memory = store.get(whole)
    if (memory && isKnown(memory, now, this.#slice)) {
      if (now - memory.last >= WRITE_AGAIN_MS) this.#put(store, whole, { ...memory, last: now }, now)
      return { wait: 0, known: true }
    }
    const key: Key = { network, sender: senderKey(sender), recipient: recipient.toLowerCase() }
    const before = store.get(key)
    const decision = decide(before, now, this.#slice)
    const isNews = decision.isNew || before === null || decision.wait === this.#slice.delay
    if (isNews || now - before.last >= WRITE_AGAIN_MS) this.#put(store, key, decision.memory, now)
    if (decision.isNew) this.#put(store, whole, withOneMore(memory, now, this.#slice), now)
    return { wait: Math.ceil(decision.wait / 1000), known: false }
  }

  #put(store: GreylistStore, key: Key, memory: Memory, now: number): void {
    store.put(key, memory, expiresAt(memory, this.#slice), now)
  }

  /** For the administrator. */
  async act({ act, what, after, limit }: Payload<'greylist-act'>): Promise<Answer<'greylist-act'>> {
    const store = await this.#opening
    if (!store) return { entries: [], next: null, removed: 0 }
    if (act === 'list') {
      const size = Math.min(Math.max(limit, 1), MOST_LISTED)
      const entries = store.list(after, size)
      const last = entries.at(-1)
      const next = last && entries.length === size ? keyOf(last) : null
      return { entries, next, removed: 0 }
    }
    if (act === 'remove' && what === undefined) return { entries: [], next: null, removed: 0 }
    return { entries: [], next: null, removed: store.remove(act === 'flush' ? null : named(what ?? '')) }
  }

  close(): void {
    void this.#opening.then((store) => store?.close())
  }
}

function keyOf({ network, sender, recipient }: Key): Key {
  return { network, sender, recipient }
}

/** An address of a client stands for its network, a sender for all of its numbers. */
function named(what: string): string {
  return what.includes('@') ? what.toLowerCase() : networkOf(what)
}
