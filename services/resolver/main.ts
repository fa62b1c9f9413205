/**
 * resolver: maps, aliases, routes and the DNS cache; answers `resolve` for smtpd and qmgr. See README.md.
 * Next: `assembly.ts`, which builds the parts from the slice.
 */
import { setImmediate, setTimeout } from 'node:timers/promises'
import { openHub } from '../../shared/bus/hub.ts'
import type { ResolverSlice } from '../../shared/config/slices.ts'
import { type Context, type Running, runService } from '../../shared/runtime/service.ts'
import { peerCredentials, systemProbe } from '../../shared/system/credentials.ts'
import { admit } from './admission.ts'
import { assemble } from './assembly.ts'
import { loadCodec } from './dns/message.ts'
import { loadSqlite } from './greylist/store.ts'

/** Who asks can ask again; name servers may take long. */
const DRAIN_MS = 3000

runService('resolver', start, prepare)

/** Without root to give up, these can wait until they are wanted. */
async function prepare({ greylist }: ResolverSlice): Promise<void> {
  systemProbe()
  if (process.geteuid?.() !== 0) return
  await loadCodec()
  if (greylist) await loadSqlite()
}

async function start(context: Context<'resolver'>): Promise<Running<'resolver'>> {
  const { log, build, buses } = context
  let { slice } = context
  let resolver = assemble(slice, log)
  const underWay = new Set<Promise<unknown>>()
  const hold = <T>(answer: T | Promise<T>): T | Promise<T> => {
    if (!(answer instanceof Promise)) return answer
    const held = answer.finally(() => underWay.delete(held))
    underWay.add(held)
    return held
  }
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
    handlers: {
      resolve: (question, peer) =>
        hold(resolver.resolve({ ...question, queued: peer.identity?.role === 'qmgr' })),
      'sender-policy': (question) => hold(resolver.senderPolicy(question)),
      screen: (question) => hold(resolver.screen(question)),
      greylist: (question) => resolver.greylist(question),
      'greylist-act': (question) => resolver.greylistAct(question),
      'look-up-text': (question) => hold(resolver.lookUpText(question)),
      caller: (question) => resolver.caller(question),
    },
  })
  const fd = context.descriptor('bus')
  await hub.listen(fd === undefined ? { path: buses.resolver } : { fd })
  return {
    drain: async () => {
      await Promise.race([Promise.allSettled(underWay), setTimeout(DRAIN_MS)])
      await setImmediate() // the answers leave at the end of this turn
      hub.close()
      resolver.close()
    },
    reconfigure: (news) => {
      slice = news
      resolver.close()
      resolver = assemble(slice, log)
    },
    figures: () => resolver.figures(),
  }
}
