/**
 * Local delivery agents: made when qmgr asks, as the user that the policy allows, and handed to qmgr by one end
 * of their private stream. They leave by themselves when they have nothing to do.
 *
 * A request that is refused or fails is answered with the reason: qmgr keeps the mail and tries again later.
 */
import { readFileSync } from 'node:fs'
import type { Log } from '../../shared/base/log.ts'
import type { LifePayload } from '../../shared/bus/messages.ts'
import type { Slices } from '../../shared/config/slices.ts'
import { judgeLda } from './lda-policy.ts'
import type { Overseer } from './overseer.ts'

type Become = { user: string; uid: number; gid: number } | null

export interface LdaHouseOptions {
  overseer: Overseer
  slices: () => Slices
  caller: { uid: number; gid: number } | null
  log: Log
}

export class LdaHouse {
  readonly #options: LdaHouseOptions
  readonly #become = new Map<string, Become>()

  constructor(options: LdaHouseOptions) {
    this.#options = options
  }

  becomeOf(name: string): Become {
    const become = this.#become.get(name)
    if (become === undefined) throw new Error(`${name} was never judged`)
    return become
  }

  forget(name: string): void {
    this.#become.delete(name)
  }

  start(wanted: LifePayload<'lda-wanted'>): void {
    const { overseer, slices, caller, log } = this.#options
    const qmgr = overseer.processOf('qmgr')
    const { mcp, resolver } = slices()
    const verdict = judgeLda(wanted, { caller, minimumUid: mcp.minimumUid, zones: resolver.zones, read })
    const refuse = (reason: string) => {
      log.warn({ uid: wanted.uid, gid: wanted.gid, user: wanted.user, reason }, 'lda refused')
      qmgr?.send('lda-refused', { uid: wanted.uid, reason })
    }
    if (verdict.kind === 'refused') return refuse(verdict.reason)
    if (this.#become.size >= slices().qmgr.ldaLimit) return refuse('too many run already')
    const name = this.#freeName(wanted.uid)
    this.#become.set(
      name,
      verdict.kind === 'stay' ? null : { user: verdict.user, uid: verdict.uid, gid: verdict.gid },
    )
    overseer.dispatch({ kind: 'add', workers: [{ name, role: 'lda' }] })
    const pipe = overseer.processOf(name)?.takePipe()
    if (pipe) qmgr?.send('lda-started', { uid: wanted.uid, name }, pipe)
    else refuse('no process could be made')
  }

  /** The one before may still be leaving. */
  #freeName(uid: number): string {
    let name = `lda-${uid}`
    for (let n = 2; this.#become.has(name); n++) name = `lda-${uid}.${n}`
    return name
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
