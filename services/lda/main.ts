/**
 * lda: delivers into the mailboxes of one user, or hands mail to the agent of that user; as that user and nobody else,
 * and what mcp made one for it never does the other. See README.md.
 */
import { openLink } from '../../shared/bus/link.ts'
import { openDescriptor } from '../../shared/bus/reading.ts'
import { type Context, Fatal, type Running, runService } from '../../shared/runtime/service.ts'
import { systemProbe } from '../../shared/system/credentials.ts'
import { watchLife } from './life.ts'
import { makeWorker } from './worker.ts'

runService('lda', start, ({ purpose, locks }) => {
  if (purpose === 'agent' || locks) systemProbe() // native calls, which the user perhaps cannot load
})

async function start(context: Context<'lda'>): Promise<Running<'lda'>> {
  const { log, identity, descriptor } = context
  const fd = descriptor('bus')
  const uid = process.geteuid?.()
  if (fd === undefined || uid === undefined) throw new Fatal('lda needs its bus descriptor and a uid')
  const bus = openDescriptor(fd)
  let { idle, commandTimeout } = context.slice
  const { work, handlers } = makeWorker(
    context,
    uid,
    () => link,
    () => commandTimeout,
  )
  const link = openLink({ target: bus, remote: 'qmgr', identity, handlers, log })
  const exit = () => {
    log.flush()
    process.exit(0)
  }
  const drain = watchLife({ work, link, socket: bus.socket, log, now: Date.now, idle: () => idle, exit })
  await link.ready()
  return {
    drain,
    reconfigure: (slice) => {
      idle = slice.idle
      commandTimeout = slice.commandTimeout
    },
    figures: () => work.figures(),
  }
}
