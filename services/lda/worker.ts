/** Who does the work of an lda: by its purpose, `deliveries.ts` or `handover.ts`, wired to the bus. */
import { randomBytes } from 'node:crypto'
import { userInfo } from 'node:os'
import type { Link } from '../../shared/bus/link.ts'
import type { Handlers } from '../../shared/bus/peer.ts'
import type { Context } from '../../shared/runtime/service.ts'
import { agentSockets, dialAgent } from './agent-dial.ts'
import { Deliveries } from './deliveries.ts'
import { Handover } from './handover.ts'
import type { Work } from './in-hand.ts'
import { uniqueName } from './unique-name.ts'

export interface Worker {
  work: Work
  handlers: Handlers
}

/** @param commandTimeout as the config says now, milliseconds. */
export function makeWorker(
  context: Context<'lda'>,
  uid: number,
  link: () => Link,
  commandTimeout: () => number,
): Worker {
  return context.slice.purpose === 'agent'
    ? handover(context, uid, link)
    : deliveries(context, uid, link, commandTimeout)
}

function deliveries(
  { log, slice }: Context<'lda'>,
  uid: number,
  link: () => Link,
  commandTimeout: () => number,
): Worker {
  const writer = { host: slice.hostname, pid: process.pid, salt: randomBytes(4).toString('hex') }
  let names = 0
  const work = new Deliveries({
    uid,
    gid: process.getegid?.() ?? -1,
    log,
    now: Date.now,
    commandTimeout,
    name: (now) => uniqueName(writer, now, names++),
    credit: (stream, octets) => link().send('content-credit', { stream, octets }),
  })
  return { work, handlers: handlersOf(work) }
}

function handover({ log, slice }: Context<'lda'>, uid: number, link: () => Link): Worker {
  const { username, homedir } = whoWeAre()
  const work = new Handover({
    uid,
    login: username,
    qualifyDomain: slice.qualifyDomain,
    log,
    now: Date.now,
    dial: () => dialAgent(agentSockets(uid, homedir), uid),
    progress: (attempt, begun) => link().send('deliver-dial', { attempt, ...(begun && { begun }) }),
    credit: (stream, octets) => link().send('content-credit', { stream, octets }),
  })
  return { work, handlers: handlersOf(work) }
}

/** A uid without an account can only be the caller's, in development. */
function whoWeAre(): { username: string; homedir: string } {
  try {
    return userInfo()
  } catch {
    return { username: '', homedir: '/nonexistent' }
  }
}

function handlersOf(work: Deliveries | Handover): Handlers {
  return {
    deliver: (request) => work.deliver(request),
    'content-chunk': (piece) => work.piece(piece),
    'deliver-cancel': ({ attempt }) => work.cancel(attempt),
  }
}
