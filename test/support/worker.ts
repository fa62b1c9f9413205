/**
 * One worker under test, without the rest: forks the built service the way mcp does, configures it over the
 * life channel, and plays the qmgr (or resolver) that it dials. For tests of a single service; tests of the
 * whole use `posthorn.ts`.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { silentLog } from '../../shared/base/log.ts'
import { type Hub, openHub } from '../../shared/bus/hub.ts'
import type { Configure, LifeName, Role } from '../../shared/bus/messages.ts'
import type { Handlers, Peer } from '../../shared/bus/peer.ts'
import type { Slices } from '../../shared/config/slices.ts'
import type { WorkerRole } from '../../shared/runtime/service.ts'

export const BUILD = 'test'

/** The root of the checkout; tests run from there. */
export const root = resolve('.')

export interface Rig {
  directory: string
  buses: { qmgr: string; resolver: string }
  close: () => void
}

export function makeRig(): Rig {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-test-'))
  return {
    directory,
    buses: { qmgr: join(directory, 'qmgr.sock'), resolver: join(directory, 'resolver.sock') },
    close: () => rmSync(directory, { recursive: true, force: true }),
  }
}

/** A stand-in for qmgr or resolver: `joined` resolves with the next peer that is welcomed. */
export async function playHub(
  self: Role,
  path: string,
  handlers: Handlers,
  firstSerial = 1,
): Promise<{ hub: Hub; joined: () => Promise<Peer> }> {
  const waiting: ((peer: Peer) => void)[] = []
  const arrived: Peer[] = []
  let serial = firstSerial
  const hub = openHub({
    self,
    handlers,
    log: silentLog,
    credentials: () => null,
    admit: () => ({ kind: 'welcome', epoch: 1, serial: serial++ }),
    onJoin: (peer) => {
      const next = waiting.shift()
      if (next) next(peer)
      else arrived.push(peer)
    },
  })
  await hub.listen({ path })
  const joined = () => {
    const peer = arrived.shift()
    return peer ? Promise.resolve(peer) : new Promise<Peer>((done) => waiting.push(done))
  }
  return { hub, joined }
}

export interface TestWorker {
  child: ChildProcess
  /** Our end of descriptor 4: lda's bus connection, when `descriptors: { bus: 4 }` says so. */
  pair: Socket
  send: (name: LifeName, payload: unknown) => void
  /** All that the worker has written to standard output: its log lines. */
  output: () => string
  drain: () => Promise<number | null>
}

/**
 * Resolves when the worker says ready; rejects with its output when it leaves before. `onPair` gets our end of
 * descriptor 4 at once, for a worker that is not ready before it has been welcomed there. `inherited` are
 * descriptors of ours that become 5, 6, … there: bound sockets, as mcp hands them over.
 */
export function startWorker<R extends WorkerRole>(
  role: R,
  slice: Slices[R],
  rig: Rig,
  more: Partial<Configure> = {},
  onPair: (pair: Socket) => void = () => undefined,
  inherited: readonly number[] = [],
  onOutput: (text: string) => void = () => undefined,
): Promise<TestWorker> {
  const child = fork(join(root, `dist/services/${role}/main.js`), [], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe', ...inherited],
  })
  const pair = child.stdio[4] as Socket
  pair.on('error', () => undefined) // the worker may leave before it has read everything
  onPair(pair)
  let output = ''
  child.stdout?.on('data', (chunk) => {
    output += String(chunk)
    onOutput(String(chunk))
  })
  child.stderr?.on('data', (chunk) => {
    output += String(chunk)
  })
  const exited = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
  const send = (name: LifeName, payload: unknown) => child.send({ name, payload })
  send('configure', {
    role,
    name: `${role}-test`,
    build: BUILD,
    epoch: 1,
    severity: 'debug',
    slice,
    descriptors: {},
    buses: rig.buses,
    become: null,
    ...more,
  })
  const drain = () => {
    if (child.connected) send('drain', {})
    return exited
  }
  return new Promise((done, fail) => {
    child.on('message', (message: { name?: string }) => {
      if (message.name === 'ready') done({ child, pair, send, output: () => output, drain })
    })
    child.once('exit', (code) => fail(new Error(`${role} left with ${code}: ${output}`)))
  })
}
