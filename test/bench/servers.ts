/**
 * The servers that are measured, each with a sink of its own that it relays everything to: Posthorn as built in
 * this checkout, and Debian's Postfix with the settings that serve it best under this load. Both on one
 * disk, in one folder, both durable as shipped, both logging a few lines for each message.
 *
 * Fails: a peer that cannot run here is an Error that says why; what was started by then is stopped.
 */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Programs } from '../support/debian.ts'
import { freePort, startPostfix } from '../support/postfix.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { type CountingSink, startSink } from './generator.ts'

export type ServerName = 'posthorn' | 'postfix'

export interface Server {
  name: ServerName
  port: number
  /** The root of its process tree. */
  pid: number
  sink: CountingSink
  stop: () => Promise<void>
}

const TMPFS = 0x01021994
const RAMFS = 0x858458f6

/** A folder on a real disk: on one in memory a sync would cost nothing and prove nothing. */
export function diskFolder(): string {
  const candidates = [tmpdir(), '/var/tmp', resolve('dist')]
  const found = candidates.find((path) => isDisk(path))
  if (!found) throw new Error(`no folder on a real disk among ${candidates.join(', ')}; set TMPDIR`)
  return found
}

function isDisk(path: string): boolean {
  try {
    const { type } = statfsSync(path)
    return type !== TMPFS && type !== RAMFS
  } catch {
    return false
  }
}

export async function startServer(name: ServerName, tools: Programs, folder: string): Promise<Server> {
  const sink = await startSink(tools)
  try {
    return name === 'posthorn' ? await startOurs(sink, folder) : await startPeer(sink, folder)
  } catch (error) {
    await sink.stop()
    throw error
  }
}

async function startOurs(sink: CountingSink, folder: string): Promise<Server> {
  const directory = mkdtempSync(join(folder, 'posthorn-bench-'))
  const posthorn = await startPosthorn({
    directory,
    config: (paths) =>
      testConfig(paths, {
        relayPort: sink.port,
        mx: 'relay { localhost; };',
        qmgr: 'retry 5m; initial-connections 20; max-connections 100;',
      }),
  })
  return {
    name: 'posthorn',
    port: posthorn.ports['mx'] ?? 0,
    pid: posthorn.pid,
    sink,
    stop: async () => {
      await posthorn.stop()
      await sink.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

async function startPeer(sink: CountingSink, folder: string): Promise<Server> {
  const postfix = await startPostfix({
    port: await freePort(),
    nextHop: sink.port,
    alias: { there: 'nobody', here: 'nobody@relay.example' },
    parent: folder,
    main: tuned(sink.port),
  })
  if (!postfix) throw new Error('Postfix cannot run here: it needs root and its Debian package')
  return {
    name: 'postfix',
    port: postfix.port,
    pid: postfix.pid,
    sink,
    stop: async () => {
      postfix.stop()
      await sink.stop()
    },
  }
}

/** Room for every session, kept connections to the next hop, no brakes, no DNS. */
function tuned(nextHop: number): Record<string, string> {
  return {
    in_flow_delay: '0',
    default_process_limit: '200',
    initial_destination_concurrency: '20',
    default_destination_concurrency_limit: '100',
    smtp_connection_cache_destinations: `[127.0.0.1]:${nextHop}`,
    smtpd_peername_lookup: 'no',
    disable_dns_lookups: 'yes',
    smtpd_client_connection_count_limit: '0',
    smtpd_recipient_limit: '1000',
    message_size_limit: '51200000',
  }
}
