/**
 * smtpd: takes mail from the network and from local programs and hands it to qmgr. See README.md.
 *
 * Wiring only: bus, listeners, drain. Next: `listener.ts`, then `connection.ts` and `session.ts`.
 */
import type { SmtpdSlice } from '../../shared/config/slices.ts'
import { type Context, Fatal, type Running, runService } from '../../shared/runtime/service.ts'
import { systemProbe } from '../../shared/system/credentials.ts'
import { cryptAvailable } from '../../shared/system/crypt.ts'
import { Listener } from './listener.ts'
import { QueueBus } from './queue-bus.ts'
import { Signing } from './signing/signing.ts'

async function start(context: Context<'smtpd'>): Promise<Running<'smtpd'>> {
  const { slice, log, buses, identity } = context
  const bus = new QueueBus({ qmgr: buses.qmgr, resolver: buses.resolver, identity, log })
  const signing = new Signing(slice, bus, log)
  bus.tally.isOn = slice.reports
  const listeners = slice.listeners.map((one) => new Listener(slice, one, bus, log, signing.sign))
  await bus.ready()
  signing.begin()
  await Promise.all(listeners.map((listener) => listener.accept(descriptorFor(context, listener.name))))
  return {
    drain: async () => {
      await Promise.all(listeners.map((listener) => listener.drain()))
      for (const listener of listeners) listener.stop()
      signing.close()
      bus.close()
    },
    reconfigure: (news) => {
      bus.tally.isOn = news.reports
      signing.reconfigure(news)
      reconfigure(listeners, news)
    },
    figures: () => ({
      sessions: listeners.reduce((sum, listener) => sum + listener.open, 0),
      ...(signing.unpublished > 0 && { unpublishedKeys: signing.unpublished }),
    }),
  }
}

function descriptorFor(context: Context<'smtpd'>, name: string): number {
  const fd = context.descriptor(name)
  if (fd === undefined) throw new Fatal(`no descriptor for listener ${name}`)
  return fd
}

/** A listener that comes or goes has a descriptor that comes or goes: mcp starts us anew for that. */
function reconfigure(listeners: readonly Listener[], news: SmtpdSlice): void {
  for (const listener of listeners) {
    const slice = news.listeners.find((one) => one.name === listener.name)
    if (slice) listener.reconfigure(news, slice)
  }
}

/** A local socket tells its callers by native code, and so are some passwords checked; others never load it. */
function prepare({ listeners }: SmtpdSlice): void {
  if (listeners.some(({ auth }) => auth?.use.passwords?.kind === 'file')) cryptAvailable()
  if (listeners.some(({ endpoint }) => endpoint.kind === 'unix')) systemProbe()
}

runService('smtpd', start, prepare)
