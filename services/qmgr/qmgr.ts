/**
 * The queue manager's life: the store's thread, the parts (`assembly.ts`), the doors.
 *
 * Start: the store is opened (in its thread), intake messages of the last life are taken up again, content files
 * without a row are swept, and only then does the hub accept: nobody hears "accepted" before the past is in order.
 * End: no new attempts, the ones in hand finish, the journal empties, the store closes.
 */
import { mkdirSync, openSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { IdSource } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import { type Hub, openHub } from '../../shared/bus/hub.ts'
import type { Credentials, Identity } from '../../shared/bus/peer.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import { type Context, Fatal, type LdaNews, type Running } from '../../shared/runtime/service.ts'
import { peerCredentials } from '../../shared/system/credentials.ts'
import { lockFile } from '../../shared/system/lock.ts'
import { Assembly } from './assembly.ts'
import { recover } from './recovery.ts'
import { Serials } from './serials.ts'
import { openStorePort } from './store-port.ts'
import type { Workers } from './workers.ts'

const LOCK_INTERVAL_MS = 100
const LOCK_TRIES = 300

export async function startQmgr(context: Context<'qmgr'>): Promise<Running<'qmgr'>> {
  const { log } = context
  let slice = context.slice
  mkdirSync(slice.spool, { recursive: true, mode: 0o700 })
  await holdSpool(slice.spool, log)
  const die = (error: Error) => {
    throw new Fatal(`the queue store is gone: ${error.message}`)
  }
  const port = openStorePort(slice.spool, die)
  const serials = await Serials.open(port)
  const ids = new IdSource(serials.next())
  const parts = new Assembly({ context, slice: () => slice, port, ids, peers: () => hub.peers })
  const hub = openWorkersHub(context, parts, serials, () => slice)
  const commands = openCommandsHub(context, parts)
  context.onLags((lags) => parts.load.watch.hearLags(lags))
  context.onLda((name, news, socket) => ldaNews(name, news, socket, parts.workers, hub))

  await parts.files.prepare()
  await parts.load.start()
  await recover({ port, files: parts.files, queue: parts.queue, log })
  await listen(context, hub, commands)
  parts.due.look()
  parts.disposal.start()

  return {
    drain: async () => {
      await finish(parts)
      hub.close()
      commands.close()
      parts.resolver.close()
      await parts.intake.close()
      await port.close()
    },
    reconfigure: (next) => {
      slice = next
      parts.reconfigured()
    },
    figures: () => parts.figures(),
  }
}

/**
 * One qmgr to a spool (design rule D9), by a lock that ends with the process. One whose mcp was killed is given time
 * to leave; who never leaves keeps the spool.
 */
async function holdSpool(spool: string, log: Log): Promise<void> {
  const descriptor = openSync(join(spool, 'lock'), 'a', 0o600) // kept open for life
  for (let tries = 0; lockFile(descriptor) === 'held-by-other'; tries++) {
    if (tries === LOCK_TRIES) throw new Fatal(`another qmgr holds ${spool}`)
    if (tries === 0) log.warn({ spool }, 'another qmgr holds the spool: waiting for it to leave')
    await setTimeout(LOCK_INTERVAL_MS)
  }
}

/** Takes nothing new up and lets what is in hand come to its end, on stable storage. */
async function finish({ due, disposal, load, courier, queue, journal }: Assembly): Promise<void> {
  due.stop()
  disposal.stop()
  load.stop()
  await courier.drain()
  await queue.reported()
  await journal.settled()
}

function openWorkersHub(
  context: Context<'qmgr'>,
  { handlers, load, intake, workers }: Assembly,
  serials: Serials,
  slice: () => QmgrSlice,
): Hub {
  return openHub({
    self: 'qmgr',
    handlers,
    log: context.log,
    credentials: peerCredentials,
    admit: (identity, who) => {
      const reason = whyBarred(identity, who, context.build, slice())
      return reason
        ? { kind: 'refused', reason }
        : { kind: 'welcome', epoch: context.epoch(), serial: serials.next() }
    },
    onJoin: (peer) => {
      load.joined(peer)
      workers.joined(peer)
    },
    onLeave: (peer) => {
      intake.peerLeft(peer)
      load.sessions.peerLeft(peer)
      workers.left(peer)
    },
  })
}

function openCommandsHub(context: Context<'qmgr'>, { handlers }: Assembly): Hub {
  return openHub({
    self: 'qmgr',
    handlers,
    log: context.log,
    credentials: peerCredentials,
    admit: (identity) =>
      identity.role === 'command' && identity.build === context.build
        ? { kind: 'welcome', epoch: context.epoch(), serial: 0 }
        : { kind: 'refused', reason: `commands of build ${context.build} only` },
  })
}

async function listen(context: Context<'qmgr'>, hub: Hub, commands: Hub): Promise<void> {
  const bus = context.descriptor('bus')
  await hub.listen(bus === undefined ? { path: context.buses.qmgr } : { fd: bus })
  const control = context.descriptor('queue')
  if (control !== undefined) await commands.listen({ fd: control })
}

function ldaNews(
  name: 'lda-started' | 'lda-refused',
  news: LdaNews,
  socket: Socket | null,
  workers: Workers,
  hub: Hub,
): void {
  if (name === 'lda-started' && socket) workers.started(news.wanted, socket, hub)
  else workers.refused(news.wanted, news.reason ?? 'its connection did not arrive', news.final ?? false)
}

/** Who may join as what: the build must be ours, and the kernel must name the uid that the role runs as. */
function whyBarred(
  identity: Identity,
  who: Credentials | null,
  build: string,
  slice: QmgrSlice,
): string | null {
  if (identity.build !== build) return `build ${identity.build} is not ${build}`
  if (identity.role === 'command' || identity.role === 'qmgr') return `${identity.role} has no business here`
  if (identity.role === 'lda') return null // mcp made its connection
  if (!who) return 'the kernel does not say who it is'
  const expected = slice.busUids ? slice.busUids[identity.role] : [process.getuid?.()]
  return expected?.includes(who.uid) ? null : `uid ${who.uid} is not ${identity.role}'s`
}
