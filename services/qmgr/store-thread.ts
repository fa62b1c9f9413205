/**
 * The thread that owns `queue.db`, so that a slow sync never holds up the bus. It answers calls in the order
 * they came. `apply` arrives packed (`batch-codec.ts`), every other call by name with structured clones.
 * It loads its code, native parts too, before it is told where the store is: qmgr may be root until then.
 */
import { parentPort } from 'node:worker_threads'
import { unpackBatch } from './batch-codec.ts'
import { loadNativeCode, SqliteStore } from './sqlite-store.ts'
import { StoreTrouble } from './store.ts'
import { LOADED, type StoreCall, type StoreOpening, type StoreReply } from './store-port.ts'

const port = parentPort
if (!port) throw new Error('store-thread runs as a thread of qmgr')

loadNativeCode()
port.postMessage(LOADED)
port.once('message', ({ directory, syncDelay }: StoreOpening) => {
  const store = new SqliteStore(directory)
  port.on('message', (call: StoreCall) => port.postMessage(answer(store, call, syncDelay)))
})

function answer(store: SqliteStore, call: StoreCall, syncDelay: number): StoreReply {
  try {
    return { id: call.id, value: run(store, call, syncDelay) }
  } catch (error) {
    const trouble = error instanceof StoreTrouble ? error.trouble : 'broken'
    return { id: call.id, trouble, text: String(error) }
  }
}

function run(store: SqliteStore, call: StoreCall, syncDelay: number): unknown {
  if (call.method === 'apply') {
    store.apply(unpackBatch(call.batch))
    if (syncDelay > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, syncDelay)
    return null
  }
  const method = store[call.method] as (...values: unknown[]) => unknown
  return method.apply(store, call.values)
}
