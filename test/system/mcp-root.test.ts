/**
 * For real, as root: privileged ports, workers as users of their own, mail into the mailbox of another user, and
 * the proof from /proc. System users that every Debian has stand in for Posthorn's own, so nothing is changed.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { connectTo, openSession, transact } from '../support/client.ts'
import { plain } from '../support/login.ts'
import { until } from '../support/wait.ts'
import { configText, ended, makeWorld, type Started, show, startMcp, type World } from './mcp-stage.ts'

const timeout = 120_000
const skip = process.getuid?.() === 0 ? false : 'this needs root: nothing of it was tested'
const USERS = { qmgr: 'daemon', smtpd: 'bin', submission: 'uucp', smtpc: 'games', resolver: 'lp' } as const
const GROUP = 'games'
const MAILBOX_UID = 5432
const NO_CAPABILITIES = ['0000000000000000', '0000000000000000', '0000000000000000', '0000000000000000']

let world: World
let mcp: Started

before(async () => {
  if (skip) return
  world = makeWorld()
  const home = join(world.directory, 'homes', 'carol')
  mkdirSync(home, { mode: 0o700 })
  chownSync(home, MAILBOX_UID, MAILBOX_UID)
  passwd('anna', 'secret')
  chownSync(passwords(), 0, accountOf(USERS.submission).gid)
  chmodSync(passwords(), 0o440)
  const users = Object.entries(USERS).map(([role, user]) => `${role}-user "${user}";`)
  world.writeConfig(
    configText(world, {
      mx: 'address 127.0.0.77; port 25;',
      processes: `${users.join(' ')} group "${GROUP}"; restart-delay 20ms; restart-budget 100;`,
      mailboxes: `carol:${MAILBOX_UID}:${MAILBOX_UID}:${home}\n`,
      more: `
        listener "submission" { address 127.0.0.77; port 587; };
        auth "users" { passwords "${passwords()}"; };
        listener "login" { type submission; address 127.0.0.77; port 588; auth "users"; auth-without-tls yes; };
        listener "grey" { type mx; address 127.0.0.77; port 26; screening "all"; };
        screening "all" { greylist-score 0; exempt { none; }; };`,
    }),
  )
  mcp = await startMcp(world, [], closedInstallation(world))
})

function passwords(): string {
  return join(world.directory, 'passwords')
}

/** By the command, as root would do it. */
function passwd(login: string, password: string): void {
  const words = [resolve('dist/commands/posthorn.js'), 'passwd', passwords(), login, '--scram']
  const { status, stderr } = spawnSync(process.execPath, words, { input: `${password}\n`, encoding: 'utf8' })
  assert.equal(status, 0, stderr)
}

after(() => {
  if (skip) return
  mcp?.child.kill('SIGKILL')
  world.remove()
})

/** A copy of the programs that only root can read: workers must have loaded all of it before they become others. */
function closedInstallation({ directory }: World): string {
  const closed = join(directory, 'closed')
  mkdirSync(closed, { mode: 0o700 })
  cpSync('dist/services', join(closed, 'dist/services'), { recursive: true })
  symlinkSync(resolve('node_modules'), join(closed, 'node_modules'))
  return join(closed, 'dist/services/mcp/main.js')
}

const session = async () => {
  const client = await connectTo(25, { host: '127.0.0.77' })
  assert.equal((await client.reply()).code, 220)
  await client.say('EHLO client.example')
  return client
}

function accountOf(name: string): { uid: number; gid: number } {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((one) => one.startsWith(`${name}:`))
  const [, , uid, gid] = (line ?? '').split(':')
  return { uid: Number(uid), gid: Number(gid) }
}

function gidOf(group: string): number {
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((one) => one.startsWith(`${group}:`))
  return Number(line?.split(':')[2])
}

test('mail on port 25 reaches a mailbox of another user, as that user', { timeout, skip }, async () => {
  const client = await session()
  const content = 'Subject: real\r\n\r\nIt works.\r\n'
  const reply = await transact(client, { from: 'a@b.example', to: ['carol@local.example'], content })
  assert.equal(reply.code, 250)
  await client.quit()
  const inbox = join(world.directory, 'homes', 'carol', 'Maildir', 'new')
  const [name = ''] = await until('the message', () => {
    const names = readdirSync(inbox)
    return names.length > 0 ? names : null
  })
  const found = statSync(join(inbox, name))
  assert.deepEqual([found.uid, found.gid, found.mode & 0o777], [MAILBOX_UID, MAILBOX_UID, 0o600])
})

test('exactly one process is root; no worker has or can get a capability', { timeout, skip }, async () => {
  const { processes, missing } = await mcp.ask('status')
  assert.deepEqual(missing, [])
  assert.deepEqual(processes.map(({ role }) => role).sort(), [
    'lda',
    'mcp',
    'qmgr',
    'resolver',
    'smtpc',
    'smtpd',
    'smtpd',
    'smtpd',
  ])
  const group = gidOf(GROUP)
  for (const { name, role, pid, uid } of processes) {
    if (role === 'mcp') {
      assert.deepEqual(show(`${pid}`).uids, [0, 0, 0, 0])
      continue
    }
    const wanted =
      role === 'lda'
        ? MAILBOX_UID
        : accountOf(USERS[(name.startsWith('submission') ? 'submission' : role) as keyof typeof USERS]).uid
    const gid = role === 'lda' ? MAILBOX_UID : group
    assert.equal(uid, wanted, 'status says what /proc says')
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const shown = show(`${pid}/task/${thread}`)
      assert.deepEqual(shown.uids, [wanted, wanted, wanted, wanted], role)
      assert.deepEqual(shown.gids, [gid, gid, gid, gid], role)
      assert.ok(!shown.groups.includes(0), `${role} is in the group of root`)
      assert.deepEqual(shown.capabilities, NO_CAPABILITIES, role)
      assert.ok(shown.noNewPrivileges, role)
    }
  }
})

test('the descendants of mcp are its workers and nobody else', { timeout, skip }, async () => {
  const { processes } = await mcp.ask('status')
  const known = new Set(processes.map(({ pid }) => pid))
  const found = descendants(mcp.pid)
  assert.deepEqual(new Set([mcp.pid, ...found]), known)
})

test('sockets and directories are open to whom they are for', { timeout, skip }, () => {
  const data = join(world.directory, 'data')
  const shown = (path: string) => {
    const { uid, gid, mode } = statSync(join(data, path))
    return `${uid}:${gid} ${(mode & 0o777).toString(8)}`
  }
  const group = gidOf(GROUP)
  assert.equal(shown('queue'), `${accountOf(USERS.qmgr).uid}:${group} 700`)
  assert.equal(shown('run'), '0:0 755')
  assert.equal(shown('run/bus'), `0:${group} 750`)
  assert.equal(shown('run/bus/qmgr.sock'), `0:${group} 660`)
  assert.equal(shown('run/submit.sock').split(' ')[0], '0:0')
  assert.equal(shown('run/control.sock').split(' ')[0], `0:${group}`)
})

test('a password file of root that submission alone may read: users log in, and the port for strangers cannot', {
  timeout,
  skip,
}, async () => {
  const attempt = async (password: string) => {
    const client = await connectTo(588, { host: '127.0.0.77' })
    await client.reply()
    await client.say('EHLO client.example')
    const { code } = await plain(client, 'anna', password)
    await client.quit()
    return code
  }
  assert.deepEqual([await attempt('secret'), await attempt('wrong')], [235, 535])
  // changed by root while all runs: whose it is stays, and it counts at once
  passwd('anna', 'better')
  const { uid, gid, mode } = statSync(passwords())
  assert.deepEqual([uid, gid, mode & 0o777], [0, accountOf(USERS.submission).gid, 0o440])
  assert.deepEqual([await attempt('better'), await attempt('secret')], [235, 535])
  const readAs = (user: string) => {
    const { uid, gid } = accountOf(user)
    return spawnSync('cat', [passwords()], { uid, gid, encoding: 'utf8' }).status
  }
  assert.deepEqual([readAs(USERS.smtpd), readAs(USERS.submission)], [1, 0])
})

test('every worker may die, and no connection is refused meanwhile', { timeout, skip }, async () => {
  for (const role of ['smtpd', 'qmgr', 'resolver', 'smtpc']) {
    const pids = await mcp.pids(role)
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await Promise.all(pids.map(ended))
    const clients = await Promise.all([1, 2, 3].map(() => connectTo(25, { host: '127.0.0.77' })))
    for (const client of clients) {
      const greeting = await client.reply()
      assert.ok(greeting.code === 220 || greeting.code === 421, greeting.text)
      client.destroy()
    }
    await until(`${role} to be back`, async () =>
      (await mcp.ask('status')).processes.every(({ state }) => state === 'ready'),
    )
  }
  const client = await openSession(join(world.run, 'submit.sock'))
  await client.quit()
})

test('the resolver alone owns what greylisting remembers', { timeout, skip }, async () => {
  const client = await connectTo(26, { host: '127.0.0.77' })
  assert.equal((await client.reply()).code, 220)
  await client.say('EHLO client.example')
  await client.say('MAIL FROM:<x@client.example>')
  assert.equal((await client.say('RCPT TO:<carol@local.example>')).code, 450)
  await client.quit()
  const directory = join(world.directory, 'data', 'greylist')
  const { uid } = accountOf(USERS.resolver)
  for (const path of [directory, join(directory, 'greylist.db')]) assert.equal(statSync(path).uid, uid)
  assert.equal(statSync(directory).mode & 0o777, 0o700)
})

test('the end is clean', { timeout, skip }, async () => {
  assert.equal(await mcp.stop(), 0)
  assert.deepEqual(readdirSync(world.run), ['bus'])
})

function descendants(parent: number): number[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), parent: parentOf(name) }))
  const below = (pid: number): number[] =>
    parents.filter((one) => one.parent === pid).flatMap((one) => [one.pid, ...below(one.pid)])
  return below(parent)
}

function parentOf(pid: string): number {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1])
  } catch {
    return -1
  }
}
