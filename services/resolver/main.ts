/**
 * resolver: maps, aliases, routes and the DNS cache; answers `resolve` for smtpd and qmgr. See README.md.
 * Next: `assembly.ts`, which builds the parts from the slice.
 */
import { setImmediate, setTimeout } from 'node:timers/promises'
import { openHub } from '../../shared/bus/hub.ts'
import { type Context, type Running, runService } from '../../shared/runtime/service.ts'
import { peerCredentials, systemProbe } from '../../shared/system/credentials.ts'
import { admit } from './admission.ts'
import { assemble } from './assembly.ts'
import { loadCodec } from './dns/message.ts'

/** Who asks can ask again; name servers may take long. */
const DRAIN_MS = 3000

runService('resolver', start, prepare)

/** Without root to give up, the codec can wait for the first query. */
async function prepare(): Promise<void> {
  systemProbe()
  if (process.geteuid?.() === 0) await loadCodec()
}

async function start(context: Context<'resolver'>): Promise<Running<'resolver'>> {
  const { log, build, buses } = context
  let { slice } = context
  let resolver = assemble(slice, log)
  const underWay = new Set<Promise<unknown>>()
  const hold = <T>(answer: Promise<T>): Promise<T> => {
    const held = answer.finally(() => underWay.delete(held))
    underWay.add(held)
    return held
  }
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
      resolve: (question, peer) => {
        const answer = resolver.resolve({ ...question, queued: peer.identity?.role === 'qmgr' })
        return answer instanceof Promise ? hold(answer) : answer
      },
      screen: (question) => hold(resolver.screen(question)),
      'look-up-text': (question) => {
        const answer = resolver.lookUpText(question)
        return answer instanceof Promise ? hold(answer) : answer
      },
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
    },
    reconfigure: (news) => {
      slice = news
      resolver = assemble(slice, log)
    },
    figures: () => resolver.figures(),
  }
}
