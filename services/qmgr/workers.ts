/**
 * Who is there to deliver: smtpc processes that joined the bus, and one lda for each uid, asked of mcp when it is
 * needed. `find` gives a worker for a route or null; after null `onChange` tells when it is worth asking again.
 *
 * lda processes are bounded: at the limit an idle one is sent home, and who needs a new one waits. A uid whose lda
 * mcp refuses is told to the caller by `refusal`, once for each request.
 */
import type { Socket } from 'node:net'
import type { Log } from '../../shared/base/log.ts'
import type { Hub } from '../../shared/bus/hub.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import type { Route } from '../../shared/message/route.ts'

interface Lda {
  uid: number
  peer: Peer | null
  busy: number
  askedAt: number
}

/** mcp has this long to bring an lda up before it is asked again. */
const PATIENCE_MS = 10_000

export interface WorkersOptions {
  ldaLimit: number
  askForLda: (request: { uid: number; gid: number; user: string }) => void
  onChange: () => void
  onRefused: (uid: number, reason: string) => void
  log: Log
  now: () => number
}

export class Workers {
  readonly #options: WorkersOptions
  readonly #smtpc: Peer[] = []
  readonly #ldas = new Map<number, Lda>()
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
    for (const [uid, lda] of this.#ldas) if (lda.peer === peer) this.#ldas.delete(uid)
    this.#options.onChange()
  }

  /** mcp started an lda; the socket is our end of its bus connection. */
  started(uid: number, socket: Socket, hub: Hub): void {
    this.#expected.add(uid)
    hub.adopt(socket, { uid, gid: -1, pid: 0 })
  }

  refused(uid: number, reason: string): void {
    this.#ldas.delete(uid)
    this.#options.onRefused(uid, reason)
  }

  find(route: Route): Peer | null {
    return route.kind === 'smtp' ? this.#anySmtpc() : this.#lda(route.mailbox)
  }

  /** An attempt begins (1) or ends (-1) at a worker; keeps busy ldas from being sent home. */
  occupy(peer: Peer, change: 1 | -1): void {
    for (const lda of this.#ldas.values()) if (lda.peer === peer) lda.busy += change
  }

  figures(): { smtpc: number; lda: number } {
    return { smtpc: this.#smtpc.length, lda: this.#ldas.size }
  }

  readonly #expected = new Set<number>()

  #ldaJoined(peer: Peer): void {
    const uid = peer.credentials?.uid ?? null
    const lda = uid === null ? undefined : this.#ldas.get(uid)
    if (uid === null || !this.#expected.delete(uid) || !lda || lda.peer) {
      this.#options.log.warn({ peer: peer.identity?.name }, 'an lda that nobody asked for')
      return peer.close()
    }
    lda.peer = peer
  }

  #anySmtpc(): Peer | null {
    return this.#smtpc[this.#turn++ % Math.max(this.#smtpc.length, 1)] ?? null
  }

  #lda(mailbox: { uid: number; gid: number; user: string }): Peer | null {
    const { uid, gid, user } = mailbox
    const now = this.#options.now()
    const lda = this.#ldas.get(uid)
    if (lda) return lda.peer
    if (this.#ldas.size >= this.#options.ldaLimit && !this.#sendOneHome()) return null
    this.#ldas.set(uid, { uid, peer: null, busy: 0, askedAt: now })
    this.#options.askForLda({ uid, gid, user })
    setTimeout(() => this.#giveUp(uid, now), PATIENCE_MS).unref()
    return null
  }

  /** It was started and never said hello, or mcp never answered: ask again when somebody wants it. */
  #giveUp(uid: number, askedAt: number): void {
    const lda = this.#ldas.get(uid)
    if (!lda || lda.peer || lda.askedAt !== askedAt) return
    this.#ldas.delete(uid)
    this.#options.log.warn({ uid }, 'an lda did not come up')
    this.#options.onChange()
  }

  #sendOneHome(): boolean {
    for (const [uid, lda] of this.#ldas) {
      if (!lda.peer || lda.busy > 0) continue
      lda.peer.close()
      this.#ldas.delete(uid)
      return true
    }
    return false
  }
}
