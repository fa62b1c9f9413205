/**
 * smtpc: the SMTP and LMTP client. Opens the only outgoing mail connections; holds no file, no key, no state that
 * outlives an attempt. See README.md; next: `courier.ts`.
 */
import { setImmediate, setTimeout } from 'node:timers/promises'
import { type Link, openLink } from '../../shared/bus/link.ts'
import { runService } from '../../shared/runtime/service.ts'
import { Courier } from './courier.ts'

/** How long qmgr may take to read the last answers. */
const FAREWELL_MS = 2000

runService('smtpc', async (context) => {
  const courier = new Courier(context.slice, context.log, {
    credit: (credit) => link.send('content-credit', credit),
    dial: (progress) => link.send('deliver-dial', progress),
    counts: (counts) => link.send('tls-counts', counts),
  })
  let whenDown: () => void = () => undefined
  const link: Link = openLink({
    target: context.buses.qmgr,
    remote: 'qmgr',
    identity: context.identity,
    handlers: courier.handlers,
    log: context.log,
    onDown: () => {
      courier.orphan()
      whenDown()
    },
  })
  await link.ready()
  return {
    drain: async () => {
      await courier.drain()
      if (!link.up) return link.close()
      const down = new Promise<void>((resolve) => {
        whenDown = resolve
      })
      await setImmediate() // the last answers are written in this turn
      link.close()
      await Promise.race([down, setTimeout(FAREWELL_MS)])
    },
    reconfigure: (slice) => courier.reconfigure(slice),
    figures: () => courier.figures(),
  }
})
