/**
 * The queue manager put together: the store's thread, the journal, the active queue, the scheduler, the bus.
 *
 * Start: the store is opened (in its thread), intake messages of the last life are taken up again, content files
 * without a row are swept, and only then does the hub accept: nobody hears "accepted" before the past is in order.
 * End: no new attempts, the ones in hand finish, the journal empties, the store closes.
 */
import { mkdirSync } from 'node:fs'
import type { Socket } from 'node:net'
import { IdSource } from '../../shared/base/ids.ts'
import { type Hub, type HubOptions, openHub } from '../../shared/bus/hub.ts'
import { openLink } from '../../shared/bus/link.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import type { Credentials, Handlers, Identity } from '../../shared/bus/peer.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import { type Context, Fatal, type Running } from '../../shared/runtime/service.ts'
import { peerCredentials } from '../../shared/system/credentials.ts'
import { ActiveQueue } from './active-queue.ts'
import { ContentFiles } from './content-files.ts'
import { Control } from './control.ts'
import { Courier } from './courier.ts'
import { DueLoader } from './due.ts'
import { Intake } from './intake.ts'
import { Journal } from './journal.ts'
import { limitsFor } from './limits.ts'
import { LoadWatch } from './load.ts'
import { recover } from './recovery.ts'
import { Reports } from './reports.ts'
import { ourReply, Router } from './router.ts'
import { Scheduler, tasksOf } from './scheduler.ts'
import { Serials } from './serials.ts'
import { openStorePort, type StorePort } from './store-port.ts'
import { Workers } from './workers.ts'

export async function startQmgr(context: Context<'qmgr'>): Promise<Running<'qmgr'>> {
  const { log } = context
  let slice = context.slice
  const now = Date.now
  mkdirSync(slice.spool, { recursive: true, mode: 0o700 })
  const die = (error: Error) => {
    throw new Fatal(`the queue store is gone: ${error.message}`)
  }
  const port = openStorePort(slice.spool, die)
  const serials = await Serials.open(port)
  const ids = new IdSource(serials.next())
  const journal = new Journal(port, log, () => load.refresh())
  const files = new ContentFiles(slice.spool)
  await files.prepare()

  const scheduler = new Scheduler((route) => limitsFor(route, slice))
  const read = contentReader(port, files)
  const reports = new Reports({ policy: () => slice, ids, log, now, read })
  const queue = new ActiveQueue({
    policy: () => slice,
    journal,
    reports,
    log,
    now,
    random: Math.random,
    route: (entry, slots) => router.route(entry, slots),
    onWait: (at) => due.expect(at),
    dropFile: (id) => void dropFile(id),
  })
  /** A last look before content is deleted: a row that still names it would have been a bug of ours. */
  const dropFile = async (id: number) => {
    if ((await port.call('load', id)) === null) await files.remove(id)
  }
  const resolver = openLink({
    target: context.buses.resolver,
    remote: 'resolver',
    identity: context.identity,
    handlers: {},
    log,
  })
  const router = new Router({
    resolve: (asked) => resolver.request('resolve', asked),
    onRouted: (entry, slots) => {
      const keys = new Set<string>()
      for (const task of tasksOf(entry, slots, slice.recipientsPerTransaction)) {
        scheduler.add(task, now())
        keys.add(task.route.destination)
      }
      for (const key of keys) courier.pump(key)
    },
    queue: () => queue,
    journal,
    reports,
    log,
  })
  const workers = new Workers({
    ldaLimit: slice.ldaLimit,
    askForLda: (request) => context.tellMcp('lda-wanted', request),
    onChange: () => courier.pumpAll(),
    onRefused: (uid, reason) =>
      courier.refuseLocal(uid, ourReply(`no delivery process for uid ${uid}: ${reason}`)),
    log,
    now,
  })
  const courier = new Courier({
    scheduler,
    workers,
    queue: () => queue,
    files,
    ids,
    log,
    now,
    load: async (id) => (await port.call('load', id))?.content ?? null,
  })
  const due = new DueLoader({ port, journal, queue, log, now })
  const load = new LoadWatch({
    spool: slice.spool,
    leastSpace: () => slice.minFreeSpace,
    health: () => journal.health,
    onChange: (news) => {
      for (const peer of hub.peers) if (peer.identity?.role === 'smtpd') peer.send('load', news)
    },
    log,
  })
  const intake = new Intake({
    journal,
    files,
    queue,
    reports,
    load: () => load.current,
    limits: () => slice,
    log,
    onSpill: () => due.expect(now()),
  })
  const control = new Control({
    port,
    journal,
    queue,
    files,
    isAdministrator: (who) => isAdministrator(who, slice),
    onHurry: () => {
      scheduler.revive()
      due.look()
    },
    readHeader: async ({ id, content }) => content ?? (await read(id)),
    log,
    now,
  })
  const queueStatus = async (): Promise<Answer<'queue-status'>> => {
    const { deferred, held } = await port.call('totals')
    return {
      active: queue.entries.size,
      deferred,
      held,
      octets: queue.octets,
      sessions: intake.sessions,
      accepted: intake.accepted,
      delivered: queue.delivered,
      intake: load.current.intake,
      reason: load.current.reason,
    }
  }
  const handlers: Handlers = {
    'session-open': (payload, peer) => intake.openSession(payload, peer),
    'session-close': (payload, peer) => intake.closeSession(payload, peer),
    'content-chunk': (payload, peer) => intake.chunk(payload, peer),
    'content-abort': (payload) => intake.abort(payload),
    'content-credit': (payload) => courier.credit(payload),
    submit: (payload) => intake.submit(payload),
    'queue-list': (payload, peer) => control.list(payload, peer),
    'queue-show': (payload, peer) => control.show(payload, peer),
    'queue-act': (payload, peer) => control.act(payload, peer),
    'queue-status': () => queueStatus(),
  }
  const common: Pick<HubOptions, 'self' | 'handlers' | 'log' | 'credentials'> = {
    self: 'qmgr',
    handlers,
    log,
    credentials: peerCredentials,
  }
  const hub = openHub({
    ...common,
    admit: (identity, who) => {
      const reason = whyBarred(identity, who, context.build, slice)
      return reason
        ? { kind: 'refused', reason }
        : { kind: 'welcome', epoch: context.epoch(), serial: serials.next() }
    },
    onJoin: (peer) => {
      if (peer.identity?.role === 'smtpd') peer.send('load', load.current)
      workers.joined(peer)
    },
    onLeave: (peer) => {
      intake.peerLeft(peer)
      workers.left(peer)
    },
  })
  const commands = openHub({
    ...common,
    admit: (identity) =>
      identity.role === 'command' && identity.build === context.build
        ? { kind: 'welcome', epoch: context.epoch(), serial: 0 }
        : { kind: 'refused', reason: `commands of build ${context.build} only` },
  })
  context.onLda((name, news, socket) => ldaNews(name, news, socket, workers, hub))

  await load.look()
  await recover({ port, files, queue, log })
  await listen(context, hub, commands)
  due.look()

  return {
    drain: async () => {
      due.stop()
      load.stop()
      await courier.drain()
      await queue.reported()
      await journal.settled()
      hub.close()
      commands.close()
      resolver.close()
      await intake.close()
      await port.close()
    },
    reconfigure: (next) => {
      slice = next
    },
    figures: () => ({
      active: queue.entries.size,
      running: courier.running,
      sessions: intake.sessions,
      accepted: intake.accepted,
      delivered: queue.delivered,
      batches: journal.batches,
      ...workers.figures(),
    }),
  }
}

/** For content that is not in memory: all of it, or at least so many octets. */
function contentReader(port: StorePort, files: ContentFiles) {
  return async (id: number, octets?: number): Promise<Uint8Array> =>
    (await port.call('load', id))?.content ?? (await files.readHead(id, octets))
}

async function listen(context: Context<'qmgr'>, hub: Hub, commands: Hub): Promise<void> {
  const bus = context.descriptor('bus')
  await hub.listen(bus === undefined ? { path: context.buses.qmgr } : { fd: bus })
  const control = context.descriptor('queue')
  if (control !== undefined) await commands.listen({ fd: control })
}

function ldaNews(
  name: 'lda-started' | 'lda-refused',
  news: { uid: number; reason?: string },
  socket: Socket | null,
  workers: Workers,
  hub: Hub,
): void {
  if (name === 'lda-started' && socket) workers.started(news.uid, socket, hub)
  else workers.refused(news.uid, news.reason ?? 'its connection did not arrive')
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
  const expected = slice.busUids ? slice.busUids[identity.role] : process.getuid?.()
  return who.uid === expected ? null : `uid ${who.uid} is not ${identity.role}'s`
}

function isAdministrator(who: Credentials | null, slice: QmgrSlice): boolean {
  if (!who) return false
  return who.uid === 0 || who.uid === process.getuid?.() || slice.controlUids.includes(who.uid)
}
