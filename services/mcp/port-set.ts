/**
 * All sockets that mcp holds for its workers: one per listener, the two buses, the queue's socket.
 *
 * A reload keeps the sockets whose place stays the same, whatever their listeners are called now, and binds the
 * new ones before anything is given up; if one of them fails nothing has changed.
 */
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isSubmission, type ListenerSlice, type McpSlice, type WebPlace } from '../../shared/config/slices.ts'
import { busPaths } from './directories.ts'
import { BindFailed, type BoundPort, bindTcp, bindUnix, clearStalePath, type Where } from './ports.ts'
import type { Part } from './roles.ts'

type Endpoint = ListenerSlice['endpoint']
/** Where a worker is to listen. */
interface Place extends Pick<WebPlace, 'name' | 'endpoint'> {
  kind: Listener['kind']
}
interface Listener {
  name: string
  kind: ListenerSlice['kind'] | 'web'
  endpoint: Endpoint
  bound: BoundPort
}
export interface Handed {
  name: string
  fd: number
}

export interface PortSetOptions {
  mcp: McpSlice
  /** Owner of the buses' sockets; null: the caller, and nobody else gets in. */
  group: { uid: number; gid: number } | null
  /** Milliseconds to wait for workers of a crashed predecessor that still hold a port. */
  patience: number
}

const RETRY_MS = 100
/** Everyone may ask for his own messages; qmgr tells callers apart by the kernel's word. */
const QUEUE_MODE = 0o666
const ADDRESSES_MODE = 0o644

export class PortSet {
  readonly #addressesFile: string
  readonly #inner: Readonly<Record<'qmgr' | 'resolver' | 'queue', BoundPort>>
  #listeners: readonly Listener[]

  private constructor(
    runDirectory: string,
    inner: Readonly<Record<'qmgr' | 'resolver' | 'queue', BoundPort>>,
    listeners: readonly Listener[],
  ) {
    this.#addressesFile = join(runDirectory, 'addresses.json')
    this.#inner = inner
    this.#listeners = listeners
    this.#publish()
  }

  /** @throws BindFailed, with everything closed that was bound before. */
  static async open({ mcp, group, patience }: PortSetOptions): Promise<PortSet> {
    const until = performance.now() + patience
    const opened: BoundPort[] = []
    const keep = (port: BoundPort) => {
      opened.push(port)
      return port
    }
    const inside = async (name: string, path: string, mode: number, owner: PortSetOptions['group']) =>
      keep(await untilFree(until, () => bindPath(name, path, mode, owner)))
    try {
      const paths = busPaths(mcp.runDirectory)
      const busMode = group ? 0o660 : 0o600
      const inner = {
        qmgr: await inside('qmgr', paths.qmgr, busMode, group),
        resolver: await inside('resolver', paths.resolver, busMode, group),
        queue: await inside('queue', mcp.queueSocket, QUEUE_MODE, null),
      }
      const listeners: Listener[] = []
      for (const slice of placesOf(mcp)) {
        const bound = keep(await untilFree(until, () => bindListener(slice)))
        listeners.push({ name: slice.name, kind: slice.kind, endpoint: slice.endpoint, bound })
      }
      return new PortSet(mcp.runDirectory, inner, listeners)
    } catch (error) {
      for (const port of opened) port.close()
      throw error
    }
  }

  /** What a worker of this role is handed; an smtpd: the listeners of its class. */
  handed(role: Part): Handed[] {
    const { qmgr, resolver, queue } = this.#inner
    if (role === 'qmgr')
      return [
        { name: 'bus', fd: qmgr.fd },
        { name: 'queue', fd: queue.fd },
      ]
    if (role === 'resolver') return [{ name: 'bus', fd: resolver.fd }]
    const own = this.#listeners.filter(({ kind }) => servedBy(kind) === role)
    return own.map(({ name, bound }) => ({ name, fd: bound.fd }))
  }

  addresses(): Record<string, Where> {
    return Object.fromEntries(this.#listeners.map(({ name, bound }) => [name, bound.where]))
  }

  /** Binds what is new; answers how to make it so. @throws BindFailed, with nothing changed. */
  async prepare(mcp: Pick<McpSlice, 'listeners' | 'web'>): Promise<{ changed: boolean; commit: () => void }> {
    const left = [...this.#listeners]
    const fresh: BoundPort[] = []
    const next: Listener[] = []
    try {
      for (const slice of placesOf(mcp)) {
        const kept = takeSamePlace(left, slice)
        const bound = kept?.bound ?? (await bindListener(slice))
        if (!kept) fresh.push(bound)
        next.push({ name: slice.name, kind: slice.kind, endpoint: slice.endpoint, bound })
      }
    } catch (error) {
      for (const port of fresh) port.close()
      throw error
    }
    const names = (of: readonly Listener[]) => of.map(({ name }) => name).join('\n')
    const changed = fresh.length > 0 || left.length > 0 || names(next) !== names(this.#listeners)
    return { changed, commit: () => this.#commit(next, left) }
  }

  close(): void {
    for (const { bound } of this.#listeners) bound.close()
    for (const port of Object.values(this.#inner)) port.close()
    rmSync(this.#addressesFile, { force: true })
  }

  #commit(next: readonly Listener[], gone: readonly Listener[]): void {
    this.#listeners = next
    for (const { endpoint } of next) if (endpoint.kind === 'unix') chmodSync(endpoint.path, endpoint.mode)
    for (const { bound } of gone) bound.close()
    this.#publish()
  }

  /** Where the listeners really are, for scripts; port 0 of the config has become a number here. */
  #publish(): void {
    const temporary = join(dirname(this.#addressesFile), '.addresses.json')
    writeFileSync(temporary, `${JSON.stringify(this.addresses(), null, 2)}\n`, { mode: ADDRESSES_MODE })
    chmodSync(temporary, ADDRESSES_MODE)
    renameSync(temporary, this.#addressesFile)
  }
}

function placesOf({ listeners, web }: Pick<McpSlice, 'listeners' | 'web'>): Place[] {
  return [...listeners, ...web.map((place) => ({ ...place, kind: 'web' as const }))]
}

function servedBy(kind: Listener['kind']): Part {
  if (kind === 'web') return kind
  return isSubmission(kind) ? 'submission' : 'smtpd'
}

/** Takes the listener out of `left` that has the same place: its namesake if that fits, otherwise any. */
function takeSamePlace(left: Listener[], slice: Place): Listener | undefined {
  const fits = ({ endpoint }: Listener) => place(endpoint) === place(slice.endpoint)
  const namesake = left.findIndex((one) => one.name === slice.name && fits(one))
  const at = namesake >= 0 ? namesake : left.findIndex(fits)
  return at >= 0 ? left.splice(at, 1)[0] : undefined
}

function place(endpoint: Endpoint): string {
  return endpoint.kind === 'unix' ? endpoint.path : `${endpoint.address} ${endpoint.port}`
}

async function bindListener({ name, endpoint }: Place): Promise<BoundPort> {
  if (endpoint.kind === 'tcp') return bindTcp(name, endpoint.address, endpoint.port)
  return bindPath(name, endpoint.path, endpoint.mode, null)
}

async function bindPath(
  name: string,
  path: string,
  mode: number,
  owner: PortSetOptions['group'],
): Promise<BoundPort> {
  await clearStalePath(name, path)
  return bindUnix(name, { path, mode, owner })
}

async function untilFree(until: number, bind: () => Promise<BoundPort>): Promise<BoundPort> {
  for (;;) {
    try {
      return await bind()
    } catch (error) {
      const busy = error instanceof BindFailed && error.code === 'EADDRINUSE'
      if (!busy || performance.now() > until) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }
}
