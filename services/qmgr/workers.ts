/**
 * Who is there to deliver: smtpc processes that joined the bus, and for each uid an lda for mailboxes and one for the
 * agent of that user, asked of mcp when it is needed. `find` gives a worker for a route or null; after null `onChange` tells when it is worth asking again.
 *
 * lda processes are bounded: at the limit an idle one is sent home, and who needs a new one waits. One that mcp
 * refuses is told to the caller by `onRefused`, once for each request.
 */
import type { Socket } from 'node:net'
import type { Log } from '../../shared/base/log.ts'
import type { Hub } from '../../shared/bus/hub.ts'
import type { LdaWanted } from '../../shared/bus/messages.ts'
import type { Credentials, Peer } from '../../shared/bus/peer.ts'
import type { Route } from '../../shared/message/route.ts'
import { agentDestination } from './user-agents.ts'

interface Lda {
  peer: Peer | null
  busy: number
  askedAt: number
}

/** mcp has this long to bring an lda up before it is asked again. */
const PATIENCE_MS = 10_000

export interface WorkersOptions {
  ldaLimit: number
  askForLda: (wanted: LdaWanted) => void
  onChange: () => void
  /** @param final it may not run at all. */
  onRefused: (wanted: LdaWanted, reason: string, final: boolean) => void
  log: Log
  now: () => number
}

export class Workers {
  readonly #options: WorkersOptions
  readonly #smtpc: Peer[] = []
  /** By destination. */
  readonly #ldas = new Map<string, Lda>()
  /** Connections that mcp made and that have not said hello yet, known by the credentials that they were given. */
  readonly #expected = new WeakMap<Credentials, LdaWanted>()
  #turn = 0

  constructor(options: WorkersOptions) {
    this.#options = options
  }

  joined(peer: Peer): void {
    if (peer.identity?.role === 'smtpc') this.#smtpc.push(peer)
    else if (peer.identity?.role === 'lda') this.#ldaJoined(peer)
    else return
    this.#options.onChange()
  }

  left(peer: Peer): void {
    const at = this.#smtpc.indexOf(peer)
    if (at >= 0) this.#smtpc.splice(at, 1)
    for (const [key, lda] of this.#ldas) if (lda.peer === peer) this.#ldas.delete(key)
    this.#options.onChange()
  }

  /** mcp started an lda; the socket is our end of its bus connection. */
  started(wanted: LdaWanted, socket: Socket, hub: Hub): void {
    const credentials = { uid: wanted.uid, gid: -1, pid: 0 }
    this.#expected.set(credentials, wanted)
    hub.adopt(socket, credentials)
  }

  refused(wanted: LdaWanted, reason: string, final: boolean): void {
    this.#ldas.delete(keyOf(wanted))
    this.#options.onRefused(wanted, reason, final)
  }

  find(route: Route): Peer | null {
    if (route.kind === 'smtp') return this.#anySmtpc()
    if (route.kind === 'discard') return null // it never gets here
    if (route.kind === 'agent') return this.#lda({ kind: 'agent', uid: route.uid })
    const { uid, gid, user } = route.mailbox
    return this.#lda({ kind: 'mailbox', uid, gid, user })
  }

  /** An attempt begins (1) or ends (-1) at a worker; keeps busy ldas from being sent home. */
  occupy(peer: Peer, change: 1 | -1): void {
    for (const lda of this.#ldas.values()) if (lda.peer === peer) lda.busy += change
  }

  figures(): { smtpc: number; lda: number } {
    return { smtpc: this.#smtpc.length, lda: this.#ldas.size }
  }

  #ldaJoined(peer: Peer): void {
    const wanted = peer.credentials && this.#expected.get(peer.credentials)
    const lda = wanted && this.#ldas.get(keyOf(wanted))
    if (peer.credentials) this.#expected.delete(peer.credentials)
    if (!lda || lda.peer) {
      this.#options.log.warn({ peer: peer.identity?.name }, 'an lda that nobody asked for')
      return peer.close()
    }
    lda.peer = peer
  }

  #anySmtpc(): Peer | null {
    return this.#smtpc[this.#turn++ % Math.max(this.#smtpc.length, 1)] ?? null
  }

  #lda(wanted: LdaWanted): Peer | null {
    const key = keyOf(wanted)
    const now = this.#options.now()
    const lda = this.#ldas.get(key)
    if (lda) return lda.peer
    if (this.#ldas.size >= this.#options.ldaLimit && !this.#sendOneHome()) return null
    this.#ldas.set(key, { peer: null, busy: 0, askedAt: now })
    this.#options.askForLda(wanted)
    setTimeout(() => this.#giveUp(key, now), PATIENCE_MS).unref()
    return null
  }

  /** It was started and never said hello, or mcp never answered: ask again when somebody wants it. */
  #giveUp(key: string, askedAt: number): void {
    const lda = this.#ldas.get(key)
    if (!lda || lda.peer || lda.askedAt !== askedAt) return
    this.#ldas.delete(key)
    this.#options.log.warn({ lda: key }, 'an lda did not come up')
    this.#options.onChange()
  }

  #sendOneHome(): boolean {
    for (const [key, lda] of this.#ldas) {
      if (!lda.peer || lda.busy > 0) continue
      lda.peer.close()
      this.#ldas.delete(key)
      return true
    }
    return false
  }
}

/** The destination of what it delivers. */
export function keyOf({ kind, uid }: LdaWanted): string {
  return kind === 'agent' ? agentDestination(uid) : `local:${uid}`
}
