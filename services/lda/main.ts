/**
 * lda: delivers into the mailboxes of one user, as that user and nobody else. See README.md.
 */
import { randomBytes } from 'node:crypto'
import { openLink } from '../../shared/bus/link.ts'
import { openDescriptor } from '../../shared/bus/reading.ts'
import { type Context, Fatal, type Running, runService } from '../../shared/runtime/service.ts'
import { Deliveries } from './deliveries.ts'
import { watchLife } from './life.ts'
import { uniqueName } from './unique-name.ts'

runService('lda', start)

async function start(context: Context<'lda'>): Promise<Running<'lda'>> {
  const { log, identity, descriptor } = context
  const fd = descriptor('bus')
  const uid = process.geteuid?.()
  if (fd === undefined || uid === undefined) throw new Fatal('lda needs its bus descriptor and a uid')
  const bus = openDescriptor(fd)
  const writer = { host: context.slice.hostname, pid: process.pid, salt: randomBytes(4).toString('hex') }
  let names = 0
  const deliveries = new Deliveries({
    uid,
    log,
    now: Date.now,
    name: (now) => uniqueName(writer, now, names++),
    credit: (stream, octets) => link.send('content-credit', { stream, octets }),
  })
  const link = openLink({
    target: bus,
    remote: 'qmgr',
    identity,
    handlers: {
      deliver: (request) => deliveries.deliver(request),
      'content-chunk': (piece) => deliveries.piece(piece),
      'deliver-cancel': ({ attempt }) => deliveries.cancel(attempt),
    },
    log,
  })
  let { idle } = context.slice
  const exit = () => {
    log.flush()
    process.exit(0)
  }
  const drain = watchLife({
    deliveries,
    link,
    socket: bus.socket,
    log,
    now: Date.now,
    idle: () => idle,
    exit,
  })
  await link.ready()
  return {
    drain,
    reconfigure: (slice) => {
      idle = slice.idle
    },
    figures: () => deliveries.figures(),
  }
}
