/**
 * The servers that are measured: Posthorn as built in this checkout, Debian's Postfix with the settings that serve
 * it best under this load, and other peers (`haraka.ts`, `sendmail8.ts`). Each relays everything to a sink of its
 * own, or delivers it into a Maildir of a user of its own. All on one disk, in one folder, durable as shipped,
 * logging a few lines for each message.
 *
 * Fails: a peer that cannot run here is an Error that says why; what was started by then is stopped.
 */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Programs } from '../support/debian.ts'
import { freePort, startPostfix } from '../support/postfix.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { type CountingSink, startSink } from './generator.ts'
import { startHaraka } from './haraka.ts'
import { openInbox } from './inbox.ts'
import type { PeerName } from './options.ts'
import { startSendmail } from './sendmail8.ts'

export type ServerName = 'posthorn' | PeerName

export interface Server {
  name: ServerName
  port: number
  /** The root of its process tree. */
  pid: number
  /** Whom the load is for. */
  recipient: string
  /** Messages at the sink or in the mailbox so far. */
  delivered: () => number
  /** Posthorn, to be asked for more. */
  posthorn?: Posthorn
  stop: () => Promise<void>
}

/** A peer alone, without its sink. */
export interface Peer {
  port: number
  pid: number
  stop: () => Promise<void>
}

const TMPFS = 0x01021994
const RAMFS = 0x858458f6
/** Of the mailbox in local delivery; no account needs to have it. */
const MAILBOX_UID = 5432

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

/** Relays everything to a sink. */
export async function startServer(name: ServerName, tools: Programs, folder: string): Promise<Server> {
  const sink = await startSink(tools)
  const common = { name, recipient: 'user@relay.example', delivered: sink.count }
  try {
    const { stop, ...started } =
      name === 'posthorn' ? await relayOurs(sink, folder) : await relay(name, sink, folder)
    return { ...common, ...started, stop: () => stop().finally(sink.stop) }
  } catch (error) {
    await sink.stop()
    throw error
  }
}

async function relayOurs(sink: CountingSink, folder: string): Promise<Peer & { posthorn: Posthorn }> {
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
  return ours(posthorn, directory)
}

function ours(posthorn: Posthorn, directory: string): Peer & { posthorn: Posthorn } {
  const stop = async () => {
    await posthorn.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  return { port: posthorn.ports['mx'] ?? 0, pid: posthorn.pid, posthorn, stop }
}

async function relay(name: PeerName, sink: CountingSink, folder: string): Promise<Peer> {
  switch (name) {
    case 'postfix':
      return startTunedPostfix(folder, sink.port, {
        smtp_connection_cache_destinations: `[127.0.0.1]:${sink.port}`,
      })
    case 'haraka':
      return startHaraka(folder, sink.port)
    case 'sendmail':
      return startSendmail(folder, sink.port)
    default: {
      const never: never = name
      throw new Error(`unknown peer ${String(never)}`)
    }
  }
}

/** Room for every session, no brakes, no DNS. */
async function startTunedPostfix(
  folder: string,
  nextHop: number,
  more: Record<string, string>,
): Promise<Peer> {
  const postfix = await startPostfix({
    port: await freePort(),
    nextHop,
    alias: { there: 'nobody', here: 'nobody@relay.example' },
    parent: folder,
    main: {
      in_flow_delay: '0',
      default_process_limit: '200',
      initial_destination_concurrency: '20',
      default_destination_concurrency_limit: '100',
      smtpd_peername_lookup: 'no',
      disable_dns_lookups: 'yes',
      smtpd_client_connection_count_limit: '0',
      smtpd_recipient_limit: '1000',
      message_size_limit: '51200000',
      ...more,
    },
  })
  if (!postfix) throw new Error('Postfix cannot run here: it needs root and its Debian package')
  return { port: postfix.port, pid: postfix.pid, stop: async () => postfix.stop() }
}

/** Delivers into a Maildir of another user, so it must run as root. */
export async function startLocalServer(name: 'posthorn' | 'postfix', folder: string): Promise<Server> {
  const directory = mkdtempSync(join(folder, 'posthorn-local-'))
  chmodSync(directory, 0o755)
  const home = join(directory, 'boxes', 'user')
  mkdirSync(home, { recursive: true })
  chownSync(home, MAILBOX_UID, MAILBOX_UID)
  const inbox = openInbox(join(home, 'Maildir'))
  const common = { name, recipient: 'user@box.example', delivered: inbox.count }
  try {
    const started =
      name === 'posthorn' ? await localOurs(directory, home) : await localPostfix(directory, home)
    const stop = () => started.stop().finally(() => rmSync(directory, { recursive: true, force: true }))
    return { ...common, ...started, stop }
  } catch (error) {
    rmSync(directory, { recursive: true, force: true })
    throw error
  }
}

/** System users that every Debian has stand in for Posthorn's own, so nothing is changed. */
const USERS =
  'qmgr-user "daemon"; smtpd-user "bin"; submission-user "sys"; smtpc-user "games"; resolver-user "lp"; group "games";'

async function localOurs(directory: string, home: string): Promise<Peer & { posthorn: Posthorn }> {
  const boxes = join(directory, 'boxes', 'list')
  writeFileSync(boxes, `user:${MAILBOX_UID}:${MAILBOX_UID}:${home}\n`)
  const posthorn = await startPosthorn({
    directory,
    asUsers: true,
    config: (paths) =>
      testConfig(paths, {
        processes: USERS,
        more: `zone "box.example" { type local; mailboxes "${boxes}"; };`,
      }),
  })
  return ours(posthorn, directory)
}

/** virtual(8) rather than local(8): it has less to do, and its user needs no account. */
function localPostfix(directory: string, home: string): Promise<Peer> {
  return startTunedPostfix(directory, 9, {
    virtual_mailbox_domains: 'box.example',
    virtual_mailbox_base: home,
    virtual_mailbox_maps: 'inline:{ {user@box.example = Maildir/} }',
    virtual_uid_maps: `static:${MAILBOX_UID}`,
    virtual_gid_maps: `static:${MAILBOX_UID}`,
  })
}
