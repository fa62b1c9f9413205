/**
 * Whose mail goes by their own agent (`posthorn agent`) instead of out of the machine by smtpc.
 *
 * It is asked of a message that a local user handed in on a listener with `user-agents`, for each recipient whose
 * route leaves the machine. Reports (null reverse-path) never go that way: an agent would send them under a name of
 * its own, and what it cannot send would come back here for ever. Nor does what an agent could not pass on as it is:
 * binary content, REQUIRETLS, DELIVERBY that returns.
 *
 * Who turns out to have no agent is asked again after a while only; a message that no account of theirs is for is not
 * offered again while it is in memory. Nothing of this survives a restart, and nothing has to.
 */
import type { QmgrSlice } from '../../shared/config/slices.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { Route } from '../../shared/message/route.ts'
import type { Entry } from './entry.ts'

const ABSENCE_MS = 60_000
/** A table this large is made new: every uid in it may be asked again. */
const MOST_ABSENT = 10_000

export interface UserAgentsOptions {
  slice: () => Pick<QmgrSlice, 'userAgents'>
  now: () => number
}

export class UserAgents {
  readonly #options: UserAgentsOptions
  /** Until when, by uid. */
  readonly #absent = new Map<number, number>()
  readonly #declined = new WeakSet<Entry>()

  constructor(options: UserAgentsOptions) {
    this.#options = options
  }

  /** The route by the agent in the place of this one; null: it stays as it is. */
  insteadOf(route: Route, entry: Entry): Route | null {
    const { uid, listener } = entry.envelope.origin
    if (uid === undefined || route.kind !== 'smtp') return null
    const { listeners, zones, minimumUid, onlyUid } = this.#options.slice().userAgents
    if (!listeners.includes(listener) || !zones.includes(route.zone)) return null
    if (onlyUid === null ? uid < minimumUid : uid !== onlyUid) return null
    if (!isFit(entry.envelope) || this.#declined.has(entry) || this.#isAbsent(uid)) return null
    return { kind: 'agent', zone: route.zone, destination: agentDestination(uid), uid }
  }

  /** Nobody listens for this user. */
  missed(uid: number): void {
    if (this.#absent.size >= MOST_ABSENT) this.#absent.clear()
    this.#absent.set(uid, this.#options.now() + ABSENCE_MS)
  }

  /** The agent is there, and none of its accounts is for this message. */
  declined(entry: Entry): void {
    this.#declined.add(entry)
  }

  #isAbsent(uid: number): boolean {
    const until = this.#absent.get(uid)
    if (until === undefined) return false
    if (until > this.#options.now()) return true
    this.#absent.delete(uid)
    return false
  }
}

function isFit({ sender, body, requireTls, deliverBy }: Envelope): boolean {
  return sender !== '' && body !== 'binarymime' && !requireTls && deliverBy?.mode !== 'return'
}

export function agentDestination(uid: number): string {
  return `agent:${uid}`
}
