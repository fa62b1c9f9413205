/**
 * One smtpd process whose queue says yes at once and keeps nothing, for measures of smtpd alone.
 */

import { makeRig, playHub, startWorker } from '../support/worker.ts'
import { bindLoopback, listenerSlice, resolveByName, stageSite } from '../system/smtpd-stage.ts'

export interface Discard {
  port: number
  pid: number
  close: () => Promise<void>
}

export async function openDiscard(): Promise<Discard> {
  const rig = makeRig()
  const qmgr = await playHub('qmgr', rig.buses.qmgr, {
    'session-open': () => ({ kind: 'go' }),
    'session-close': () => undefined,
    submit: () => ({ kind: 'accepted' }),
  })
  const resolver = await playHub('resolver', rig.buses.resolver, { resolve: resolveByName })
  const slice = listenerSlice({ relay: [{ negated: false, network: 'any' }] })
  const { fd, port } = bindLoopback()
  const worker = await startWorker(
    'smtpd',
    { ...stageSite, listeners: [slice] },
    rig,
    { descriptors: { [slice.name]: 5 }, severity: 'warn' },
    undefined,
    [fd],
  )
  return {
    port,
    pid: worker.child.pid ?? 0,
    close: async () => {
      await worker.drain()
      qmgr.hub.close()
      resolver.hub.close()
      rig.close()
    },
  }
}
