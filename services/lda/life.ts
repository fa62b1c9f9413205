/**
 * How an lda ends: nothing to do for a while, told to drain, or qmgr gone. In each case what is in hand is
 * settled first and its answers are out before the connection closes, so qmgr learns the truth about every
 * attempt; one that comes too late gets no answer, and qmgr hands it to the next lda without a wait. When qmgr is
 * gone there is nobody to answer: content that was still coming is dropped, what came whole is stored (qmgr, back
 * again, will send it once more: a double is better than a loss).
 */
import type { Socket } from 'node:net'
import type { Log } from '../../shared/base/log.ts'
import type { Link } from '../../shared/bus/link.ts'
import type { Work } from './in-hand.ts'

export interface LifeOptions {
  work: Work
  link: Link
  socket: Socket
  log: Log
  now: () => number
  /** Milliseconds without work after which to leave. */
  idle: () => number
  exit: () => void
}

/** @returns what `drain` has to do. */
export function watchLife(options: LifeOptions): () => Promise<void> {
  const { work, socket, log, exit } = options
  let leaving: Promise<void> | null = null
  const finish = () => {
    leaving ??= settle(options)
    return leaving
  }
  const leave = (why: string) => {
    log.info({ why, ...work.figures() }, 'leaving')
    return finish().then(exit)
  }
  socket.once('close', () => {
    work.cancelAll()
    if (!leaving) void leave('the queue manager is gone')
  })
  watchIdle(options, () => void leave('nothing to do'))
  return finish
}

async function settle({ work, link, socket }: LifeOptions): Promise<void> {
  await work.inHand.close()
  await new Promise((resolve) => setImmediate(resolve)) // the last answers reach the link
  const sent = new Promise<void>((resolve) => {
    socket.once('finish', resolve)
    socket.once('close', () => resolve())
    if (socket.destroyed) resolve()
  })
  link.close()
  await sent
}

/** One timer for the whole life, however many deliveries come: it looks when the last one was. */
function watchIdle({ work, now, idle }: LifeOptions, onIdle: () => void): void {
  const look = () => {
    const rest = work.inHand.lastWork + idle() - now()
    if (work.inHand.count > 0 || rest > 0) setTimeout(look, Math.max(rest, 100)).unref()
    else onIdle()
  }
  setTimeout(look, idle()).unref()
}
