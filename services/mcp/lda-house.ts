/**
 * Local delivery agents: made when qmgr asks, as the user that the policy allows, and handed to qmgr by one end
 * of their private stream. They leave by themselves when they have nothing to do.
 *
 * A request that is refused or fails is answered with the reason: qmgr keeps the mail and tries again later.
 */
import { readFileSync } from 'node:fs'
import type { Log } from '../../shared/base/log.ts'
import type { LdaWanted, LifePayload } from '../../shared/bus/messages.ts'
import type { Slices } from '../../shared/config/slices.ts'
import { judgeLda, type Verdict } from './lda-policy.ts'
import type { Overseer } from './overseer.ts'
import { AGENT_LDA } from './roles.ts'

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

  start({ wanted }: LifePayload<'lda-wanted'>): void {
    const { overseer, slices, log } = this.#options
    const qmgr = overseer.processOf('qmgr')
    const verdict = this.#judge(wanted)
    const refuse = (reason: string, final = false) => {
      log.warn({ ...wanted, reason }, 'lda refused')
      qmgr?.send('lda-refused', { wanted, reason, final })
    }
    if (verdict.kind === 'refused') return refuse(verdict.reason, true)
    if (this.#become.size >= slices().qmgr.ldaLimit) return refuse('too many run already')
    const name = this.#freeName(wanted)
    this.#become.set(
      name,
      verdict.kind === 'stay' ? null : { user: verdict.user, uid: verdict.uid, gid: verdict.gid },
    )
    overseer.dispatch({ kind: 'add', workers: [{ name, role: 'lda' }] })
    const pipe = overseer.processOf(name)?.takePipe()
    if (pipe) qmgr?.send('lda-started', { wanted, name }, pipe)
    else refuse('no process could be made')
  }

  #judge(wanted: LdaWanted): Verdict {
    const { mcp, resolver } = this.#options.slices()
    const userAgents = mcp.listeners.some((listener) => listener.userAgents)
    const { caller } = this.#options
    return judgeLda(wanted, { caller, minimumUid: mcp.minimumUid, zones: resolver.zones, userAgents, read })
  }

  /** The one before may still be leaving. */
  #freeName({ kind, uid }: LdaWanted): string {
    const stem = kind === 'agent' ? `${AGENT_LDA}${uid}` : `lda-${uid}`
    let name = stem
    for (let n = 2; this.#become.has(name); n++) name = `${stem}.${n}`
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
