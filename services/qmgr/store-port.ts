/**
 * qmgr's end of the store thread: the store's methods as promises, answered in order.
 *
 * Fails: a call rejects with `StoreTrouble` as the store throws it; if the thread itself dies all calls reject
 * as `broken` and `onDeath` is told, which ends qmgr (mcp starts it again, and it recovers).
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { type PackedBatch, packBatch } from './batch-codec.ts'
import { type Batch, type QueueStore, StoreTrouble, type Trouble } from './store.ts'

type Method = Exclude<keyof QueueStore, 'apply'>
export type StoreCall =
  | { id: number; method: 'apply'; batch: PackedBatch }
  | { id: number; method: Method; values: unknown[] }
export type StoreReply = { id: number; value: unknown } | { id: number; trouble: Trouble; text: string }

interface Waiting {
  resolve: (value: unknown) => void
  reject: (error: StoreTrouble) => void
}

export interface StorePort {
  apply(batch: Batch): Promise<void>
  call<M extends Method>(method: M, ...values: Parameters<QueueStore[M]>): Promise<ReturnType<QueueStore[M]>>
  close(): Promise<void>
}

/** What the thread is told first, and what it says when its code is there. */
export interface StoreOpening {
  directory: string
  syncDelay: number
}
export const LOADED = 'loaded'

/** The thread's young generation, MiB: a batch is garbage as soon as it is committed. */
const YOUNG_MIB = 6

let spare: Worker | null = null

/** Makes the thread before qmgr gives up root: its code may be out of reach afterwards. It opens nothing yet. */
export async function loadStoreThread(): Promise<void> {
  const thread = newThread()
  await once(thread, 'message')
  spare = thread
}

function newThread(): Worker {
  const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MIB }
  return new Worker(new URL('./store-thread.js', import.meta.url), { resourceLimits })
}

/** @param syncDelay milliseconds that every batch takes longer; for tests of a slow disk. */
export function openStorePort(directory: string, onDeath: (error: Error) => void, syncDelay = 0): StorePort {
  const thread = spare ?? newThread()
  spare = null
  thread.postMessage({ directory, syncDelay } satisfies StoreOpening)
  const waiting = new Map<number, Waiting>()
  let lastCall = 0
  let closing = false
  const die = (error: Error) => {
    for (const one of waiting.values()) one.reject(new StoreTrouble('broken', error.message))
    waiting.clear()
    if (!closing) onDeath(error)
  }
  thread.on('message', (reply: StoreReply | typeof LOADED) => {
    if (reply === LOADED) return
    const one = waiting.get(reply.id)
    waiting.delete(reply.id)
    if ('trouble' in reply) one?.reject(new StoreTrouble(reply.trouble, reply.text))
    else one?.resolve(reply.value)
  })
  thread.on('error', die)
  thread.on('exit', (code) => die(new Error(`the store thread left with ${code}`)))
  const post = (call: StoreCall, transfer: ArrayBuffer[]) =>
    new Promise<unknown>((resolve, reject) => {
      waiting.set(call.id, { resolve, reject })
      thread.postMessage(call, transfer)
    })
  return {
    apply: async (batch) => {
      const packed = packBatch(batch)
      await post({ id: ++lastCall, method: 'apply', batch: packed }, [
        packed.table.buffer,
        packed.bytes.buffer,
      ])
    },
    call: (method, ...values) =>
      post({ id: ++lastCall, method, values }, []) as Promise<ReturnType<QueueStore[typeof method]>>,
    close: async () => {
      closing = true
      await post({ id: ++lastCall, method: 'close', values: [] }, [])
      await thread.terminate()
    },
  }
}
