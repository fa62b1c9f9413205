/**
 * One run: the load goes in, what comes out is counted, /proc says what it cost.
 *
 * A message with many recipients may leave as several; then the run ends when there has been at least one for
 * each and the count has stood still for SETTLE_MS. Fails: a run in which not everything arrives within PATIENCE_MS is an
 * Error, not a figure.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Programs } from '../support/debian.ts'
import { sendLoad } from './generator.ts'
import type { Case } from './options.ts'
import { type CpuTime, cpuTimeOf, cpuTimeSince, sumOf } from './process-tree.ts'
import type { Server } from './servers.ts'

const STEP_MS = 10
const SETTLE_MS = 3000
const PATIENCE_MS = 180_000

export interface Run {
  /** Messages per second until the last was accepted. */
  accepted: number
  /** Messages per second until the last was at the sink, or in the mailbox. */
  delivered: number
  /** CPU milliseconds of the server for each message. */
  cpuMs: number
  /** The same by process. */
  cpuMsBy: CpuTime
}

export function messagesFor(server: Server, load: Case): number {
  return server.name === 'posthorn' ? load.messages : load.peerMessages
}

export async function measure(
  server: Server,
  tools: Programs,
  load: Case,
  messages: number,
  signal: AbortSignal,
): Promise<Run> {
  const base = server.delivered()
  const cpu = cpuTimeOf(server.pid)
  const began = performance.now()
  const [sent, arrived] = await Promise.all([
    sendLoad(tools, server, load, messages, signal),
    allArrived(server, base, load, messages, signal),
  ])
  const used = cpuTimeSince(cpu, cpuTimeOf(server.pid))
  return {
    accepted: messages / sent,
    delivered: messages / ((arrived - began) / 1000),
    cpuMs: sumOf(used) / messages,
    cpuMsBy: Object.fromEntries(Object.entries(used).map(([name, ms]) => [name, ms / messages])),
  }
}

/** Resolves with the time at which the last message was seen. */
async function allArrived(
  server: Server,
  base: number,
  load: Case,
  messages: number,
  signal: AbortSignal,
): Promise<number> {
  const end = performance.now() + PATIENCE_MS
  let last = { count: 0, at: performance.now() }
  for (;;) {
    await pause(STEP_MS, undefined, { signal })
    const now = performance.now()
    const count = server.delivered() - base
    if (count > last.count) last = { count, at: now }
    const settled = load.recipients === 1 || now - last.at > SETTLE_MS
    if (count >= messages && settled) return last.at
    if (now > end)
      throw new Error(`${server.name}: ${count} of ${messages} messages after ${PATIENCE_MS / 1000} s`)
  }
}
