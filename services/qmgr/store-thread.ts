/**
 * The thread that owns `queue.db`, so that a slow sync never holds up the bus. It answers calls in the order
 * they came. `apply` arrives packed (`batch-codec.ts`), every other call by name with structured clones.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { unpackBatch } from './batch-codec.ts'
import { SqliteStore } from './sqlite-store.ts'
import { StoreTrouble } from './store.ts'
import type { StoreCall, StoreReply } from './store-port.ts'

const port = parentPort
if (!port) throw new Error('store-thread runs as a thread of qmgr')

const { directory, syncDelay } = workerData as { directory: string; syncDelay: number }
const store = new SqliteStore(directory)

port.on('message', (call: StoreCall) => {
  const reply = answer(call)
  port.postMessage(reply)
})

function answer(call: StoreCall): StoreReply {
  try {
    return { id: call.id, value: run(call) }
  } catch (error) {
    const trouble = error instanceof StoreTrouble ? error.trouble : 'broken'
    return { id: call.id, trouble, text: String(error) }
  }
}

function run(call: StoreCall): unknown {
  if (call.method === 'apply') {
    store.apply(unpackBatch(call.batch))
    if (syncDelay > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, syncDelay)
    return null
  }
  const method = store[call.method] as (...values: unknown[]) => unknown
  return method.apply(store, call.values)
}
