/**
 * The start after whatever ended the last life: intake messages are taken up where they were, content files that
 * no row names are removed (design rule D2: unfinished intake is discarded).
 */
import type { Log } from '../../shared/base/log.ts'
import type { ActiveQueue } from './active-queue.ts'
import type { ContentFiles } from './content-files.ts'
import { type Entry, newSlot } from './entry.ts'
import { decodeEnvelope } from './envelope-codec.ts'
import { priorityOf } from './priority.ts'
import type { Recovered } from './store.ts'
import type { StorePort } from './store-port.ts'

export interface RecoveryOptions {
  port: StorePort
  files: ContentFiles
  queue: ActiveQueue
  log: Log
}

export async function recover({ port, files, queue, log }: RecoveryOptions): Promise<void> {
  const found = await port.call('recover')
  const swept = await files.sweep(new Set(await port.call('filed')))
  let taken = 0
  for (const message of found) {
    try {
      queue.admit(entryOf(message))
      taken++
    } catch (error) {
      log.error(
        { err: error, message: message.id },
        'an envelope in the store cannot be read; the message stays there',
      )
    }
  }
  log.info({ taken, swept }, 'recovered')
}

function entryOf(message: Recovered): Entry {
  const envelope = decodeEnvelope(message.envelope)
  const done = new Set(message.done)
  const slots = envelope.recipients.flatMap((recipient, n) => (done.has(n) ? [] : [newSlot(n, recipient)]))
  return {
    id: message.id,
    envelope,
    content: message.content,
    filed: message.content === null,
    priority: priorityOf(envelope, message.content),
    slots,
    open: slots.length,
    waiting: message.waiting,
    provisional: null,
    alone: false,
    crashes: 0,
  }
}
