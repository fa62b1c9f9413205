/**
 * Mail to a live destination at a fixed rate, timed all the way: from the end of the content at the door to the end
 * of the content at the sink. Messages are told apart by their senders, so the sink needs to keep nothing.
 */
import { openSink, type Sink } from '../support/sink.ts'
import { until } from '../support/wait.ts'
import { type Pace, type Paced, sendPaced } from './paced.ts'

const PATIENCE_MS = 60_000

export interface TimedSink {
  port: number
  /** Sends and waits until all has arrived. */
  send: (pace: Omit<Pace, 'sender' | 'onContent'>, signal: AbortSignal) => Promise<Trip>
  close: () => Promise<void>
}

export interface Trip extends Paced {
  /** Milliseconds, one for each message. */
  delivered: number[]
}

export async function openTimedSink(): Promise<TimedSink> {
  const sentAt = new Map<string, number>()
  const took = new Map<string, number>()
  let runs = 0
  const sink: Sink = await openSink((stage, argument) => {
    const began = stage === 'dot' ? sentAt.get(argument) : undefined
    if (began !== undefined && !took.has(argument)) took.set(argument, performance.now() - began)
    return null
  })
  const send: TimedSink['send'] = async (pace, signal) => {
    const run = ++runs
    const sender = (n: number) => `m${run}-${n}@live.example`
    const onContent = (n: number) => void sentAt.set(sender(n), performance.now())
    took.clear()
    const paced = await sendPaced({ ...pace, sender, onContent }, signal)
    await until('all live mail to arrive', () => took.size >= paced.accepted.length, PATIENCE_MS)
    sink.mails.length = 0
    return { ...paced, delivered: [...took.values()] }
  }
  return { port: sink.port, send, close: sink.close }
}
