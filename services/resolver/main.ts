/**
 * resolver: maps, aliases, routes and the DNS cache; answers `resolve` for smtpd and qmgr. See README.md.
 * Next: `service.ts`, which builds the parts from the slice.
 */
import { openHub } from '../../shared/bus/hub.ts'
import { type Context, type Running, runService } from '../../shared/runtime/service.ts'
import { peerCredentials, systemProbe } from '../../shared/system/credentials.ts'
import { admit } from './admission.ts'
import { assemble } from './assembly.ts'

runService('resolver', start, () => void systemProbe())

async function start(context: Context<'resolver'>): Promise<Running<'resolver'>> {
  const { log, build, buses } = context
  let { slice } = context
  let resolver = assemble(slice, log)
  const hub = openHub({
    self: 'resolver',
    log,
    credentials: peerCredentials,
    admit: (identity, credentials) => {
      const refused = admit(identity, credentials, {
        build,
        busUids: slice.busUids,
        ownUid: process.geteuid?.(),
      })
      return refused === null
        ? { kind: 'welcome', epoch: context.epoch(), serial: 0 }
        : { kind: 'refused', reason: refused }
    },
    handlers: {
      resolve: (question, peer) => resolver.resolve({ ...question, queued: peer.identity?.role === 'qmgr' }),
    },
  })
  const fd = context.descriptor('bus')
  await hub.listen(fd === undefined ? { path: buses.resolver } : { fd })
  return {
    drain: async () => hub.close(),
    reconfigure: (news) => {
      slice = news
      resolver = assemble(slice, log)
    },
    figures: () => resolver.figures(),
  }
}
