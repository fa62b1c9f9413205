/**
 * resolver: maps, aliases, routes and the DNS cache; answers `resolve` for smtpd and qmgr. See README.md.
 * Next: `assembly.ts`, which builds the parts from the slice.
 */
import { openHub } from '../../shared/bus/hub.ts'
import type { ResolverSlice } from '../../shared/config/slices.ts'
import { type Context, type Running, runService } from '../../shared/runtime/service.ts'
import { peerCredentials, systemProbe } from '../../shared/system/credentials.ts'
import { admit } from './admission.ts'
import { assemble } from './assembly.ts'
import { loadCodec } from './dns/message.ts'
import { loadSqlite } from './greylist/store.ts'
import { handlersOf } from './handlers.ts'
import { InHand } from './in-hand.ts'
import { loadForMaps } from './maps/sources.ts'
import { loadClient } from './reports/hand-in.ts'

/** Who asks can ask again; name servers may take long. */
const DRAIN_MS = 3000

runService('resolver', start, prepare)

/** Without root to give up, these can wait until they are wanted. */
async function prepare({ greylist, maps, reports }: ResolverSlice): Promise<void> {
  systemProbe()
  if (process.geteuid?.() !== 0) return
  await Promise.all([
    loadCodec(),
    loadForMaps(maps),
    (greylist || reports) && loadSqlite(),
    reports && loadClient(),
  ])
}

async function start(context: Context<'resolver'>): Promise<Running<'resolver'>> {
  const { log, build, buses } = context
  let { slice } = context
  let resolver = assemble(slice, log)
  let isValidated = false
  context.onValidator((up) => {
    if (up === isValidated) return
    isValidated = up
    resolver.setValidator(up)
  })
  const inHand = new InHand()
  const hub = openHub({
    self: 'resolver',
    log,
    credentials: peerCredentials,
    admit: (identity, credentials) => {
      const house = { build, busUids: slice.busUids, ownUid: process.geteuid?.() }
      const refused = admit(identity, credentials, house)
      return refused === null
        ? { kind: 'welcome', epoch: context.epoch(), serial: 0 }
        : { kind: 'refused', reason: refused }
    },
    handlers: handlersOf(() => resolver, inHand),
  })
  const fd = context.descriptor('bus')
  await hub.listen(fd === undefined ? { path: buses.resolver } : { fd })
  return {
    drain: async () => {
      await inHand.done(DRAIN_MS)
      hub.close()
      resolver.close()
    },
    reconfigure: (news) => {
      slice = news
      resolver.close()
      resolver = assemble(slice, log)
      resolver.setValidator(isValidated)
    },
    figures: () => resolver.figures(),
  }
}
