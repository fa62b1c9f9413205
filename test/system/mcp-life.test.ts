/**
 * mcp with the real workers, as whoever runs the tests: deaths, hangs, a second instance, bad and good reloads,
 * crashes of mcp itself, the end.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openSession } from '../support/client.ts'
import { until } from '../support/wait.ts'
import { configText, ended, launchMcp, makeWorld, type Started, startMcp, type World } from './mcp-stage.ts'

const timeout = 120_000
const QUICK = 'restart-delay 20ms; restart-budget 100; heartbeat-interval 100ms; heartbeat-patience 1s;'

const worlds: World[] = []
const running: Started[] = []
function world(): World {
  const made = makeWorld()
  worlds.push(made)
  return made
}
async function start(made: World, words?: string[]): Promise<Started> {
  const started = await startMcp(made, words)
  running.push(started)
  return started
}
after(() => {
  for (const { child } of running) child.kill('SIGKILL')
  for (const made of worlds) made.remove()
})

test('a death refuses no connection: they wait for the successor', { timeout }, async () => {
  const made = world()
  made.writeConfig(configText(made, { processes: `${QUICK} smtpd 1;` }))
  const mcp = await start(made)
  const port = mcp.port()
  for (let n = 0; n < 5; n++) {
    const [pid = 0] = await until('smtpd to be up', async () => {
      const pids = await mcp.pids('smtpd')
      return pids.length > 0 && pids
    })
    process.kill(pid, 'SIGKILL')
    await ended(pid)
    // nobody is there to accept; each of these must find the socket and wait
    const sessions = await Promise.all([1, 2, 3].map(() => openSession(port)))
    await Promise.all(sessions.map((session) => session.quit()))
  }
  assert.equal(await mcp.stop(), 0)
})

test('a stopped worker is found and replaced', { timeout }, async () => {
  const made = world()
  made.writeConfig(configText(made, { processes: QUICK }))
  const mcp = await start(made)
  for (const role of ['smtpc', 'resolver', 'qmgr', 'smtpd']) {
    const [pid = 0] = await mcp.pids(role)
    process.kill(pid, 'SIGSTOP')
    await ended(pid)
    await until(`${role} to be back`, async () => {
      const { processes } = await mcp.ask('status')
      return processes.every(({ state, pid: one }) => state === 'ready' && one !== pid)
    })
  }
  assert.match(mcp.log(), /does not answer/)
  const session = await openSession(mcp.port())
  await session.quit()
  assert.equal(await mcp.stop(), 0)
})

test('a worker that cannot stay up is given up, and the rest work on', { timeout }, async () => {
  const made = world()
  made.writeConfig(configText(made, { processes: 'restart-delay 10ms; restart-budget 2;' }))
  const mcp = await start(made)
  let last = 0
  for (let n = 0; n < 3; n++) {
    last = await until('smtpc to be up again', async () => {
      const [pid = 0] = await mcp.pids('smtpc')
      return pid !== 0 && pid !== last && pid
    })
    process.kill(last, 'SIGKILL')
  }
  const state = async () => (await mcp.ask('status')).processes.find(({ role }) => role === 'smtpc')?.state
  await until('smtpc to be given up', async () => (await state()) === 'given-up')
  const session = await openSession(mcp.port())
  await session.quit()
  assert.equal((await mcp.ask('reload')).kind, 'done')
  await until('a reload to bring it back', async () => (await state()) === 'ready')
  assert.equal(await mcp.stop(), 0)
})

test('a second instance is refused by name, the first is not disturbed', { timeout }, async () => {
  const made = world()
  made.writeConfig(configText(made))
  const mcp = await start(made)
  const second = launchMcp(made)
  assert.equal(await second.exited, 69)
  assert.match(second.log(), new RegExp(`runs already as process ${mcp.pid}`))
  assert.equal(Number(readFileSync(join(made.run, 'posthorn.pid'), 'utf8')), mcp.pid)
  await (await openSession(mcp.port())).quit()
  assert.equal(await mcp.stop(), 0)
})

test('nothing is left behind at the end', { timeout }, async () => {
  const made = world()
  made.writeConfig(configText(made))
  const mcp = await start(made)
  const pids = (await mcp.ask('status')).processes.flatMap(({ pid }) => pid ?? [])
  assert.equal(pids.length, 7)
  assert.equal(await mcp.stop(), 0)
  for (const pid of pids) assert.ok(!existsSync(`/proc/${pid}`), `${pid} is still there`)
  assert.deepEqual(readdirSync(made.run), ['bus'])
  assert.deepEqual(readdirSync(join(made.run, 'bus')), [])
})

test('after kill -9 of mcp the workers leave, and the next one starts on the same ports', {
  timeout,
}, async () => {
  const made = world()
  made.writeConfig(configText(made))
  const first = await start(made)
  const port = first.port()
  made.writeConfig(configText(made, { mx: `address 127.0.0.1; port ${port};` }))
  const pids = (await first.ask('status')).processes.flatMap(({ pid }) => pid ?? [])
  process.kill(first.pid, 'SIGKILL')
  const second = await start(made)
  assert.equal(second.port(), port)
  for (const pid of pids) await ended(pid)
  await (await openSession(port)).quit()
  assert.equal(await second.stop(), 0)
})

test('a bad config changes nothing and says where', { timeout }, async () => {
  const made = world()
  const good = configText(made)
  made.writeConfig(good)
  const mcp = await start(made)
  const before = await mcp.ask('status')
  made.writeConfig(good.replace('hostname', 'hostnaem'))
  mcp.child.kill('SIGHUP')
  await mcp.logged(/reload refused/)
  assert.match(mcp.log(), /posthorn\.conf:2:\d+/)
  const answer = await mcp.ask('reload')
  assert.match(answer.kind === 'refused' ? answer.problems : '', /posthorn\.conf:2:\d+: /)
  made.writeConfig(good.replace('/data"', '/elsewhere"'))
  const moved = await mcp.ask('reload')
  assert.match(moved.kind === 'refused' ? moved.problems : '', /directory cannot change/)
  const now = await mcp.ask('status')
  assert.equal(now.epoch, before.epoch)
  assert.deepEqual(
    now.processes.map(({ pid }) => pid),
    before.processes.map(({ pid }) => pid),
  )
  assert.equal(await mcp.stop(), 0)
})

test('a new listener is there after a reload, and open sessions end in peace', { timeout }, async () => {
  const made = world()
  made.writeConfig(configText(made))
  const mcp = await start(made)
  const port = mcp.port()
  const old = await mcp.pids('smtpd')
  const more = 'listener "extra" { type mx; address 127.0.0.1; port 0; };'
  made.writeConfig(configText(made, { more }))
  assert.equal((await mcp.ask('reload')).kind, 'done')
  assert.equal(mcp.port(), port, 'what stays in the config stays bound')
  for (const pid of old) await ended(pid)
  await (await openSession(mcp.port('extra'))).quit()
  await (await openSession(port)).quit()
  assert.equal((await mcp.pids('smtpd')).length, 3, 'two for strangers, one for local programs')
  const extra = mcp.port('extra')
  made.writeConfig(configText(made))
  assert.equal((await mcp.ask('reload')).kind, 'done')
  await until('the listener to be gone', () => refused(extra))
  await (await openSession(port)).quit()
  assert.equal(await mcp.stop(), 0)
})

test('a reload that cannot have its port leaves all as it was', { timeout }, async () => {
  const made = world()
  made.writeConfig(configText(made))
  const mcp = await start(made)
  const port = mcp.port()
  const taken = createServer().listen(0, '127.0.0.1')
  await until('the other server', () => taken.listening)
  const { port: theirs } = taken.address() as { port: number }
  made.writeConfig(
    configText(made, { more: `listener "b" { type mx; address 127.0.0.1; port ${theirs}; };` }),
  )
  const answer = await mcp.ask('reload')
  assert.match(answer.kind === 'refused' ? answer.problems : '', /listener "b".*another program/)
  assert.equal(mcp.port(), port)
  await (await openSession(port)).quit()
  taken.close()
  assert.equal(await mcp.stop(), 0)
})

test('a port that is taken is named, and nothing is started', { timeout }, async () => {
  const made = world()
  const taken = createServer().listen(0, '127.0.0.1')
  await until('the other server', () => taken.listening)
  const { port } = taken.address() as { port: number }
  made.writeConfig(configText(made, { mx: `address 127.0.0.1; port ${port};` }))
  const mcp = launchMcp(made)
  assert.equal(await mcp.exited, 69)
  assert.match(mcp.log(), new RegExp(`listener "mx": 127.0.0.1 port ${port}: another program`))
  taken.close()
  assert.ok(!existsSync(join(made.run, 'posthorn.pid')))
})

test('a file at the place of a socket is not removed', { timeout }, async () => {
  const made = world()
  made.writeConfig(configText(made, { more: `listener "x" { socket "${made.directory}/precious"; };` }))
  writeFileSync(join(made.directory, 'precious'), 'letters')
  const mcp = launchMcp(made)
  assert.equal(await mcp.exited, 69)
  assert.match(mcp.log(), /is no socket/)
  assert.equal(readFileSync(join(made.directory, 'precious'), 'utf8'), 'letters')
})

test('logs go to their files, turn over when told to, and a missing directory stops nothing', {
  timeout,
}, async () => {
  const made = world()
  const file = join(made.directory, 'main.log')
  const more = `logging { channel "a" { file "${file}"; }; channel "b" { file "${made.directory}/no/b.log"; }; channel "c" { stderr; }; };`
  made.writeConfig(configText(made, { more }))
  const mcp = await start(made)
  await (await openSession(mcp.port())).quit()
  await until('the session in the log', () => /session closed/.test(readFileSync(file, 'utf8')))
  for (const line of readFileSync(file, 'utf8').trimEnd().split('\n')) JSON.parse(line)
  renameSync(file, `${file}.old`)
  mcp.child.kill('SIGUSR1')
  await until('the file to be made again', () => existsSync(file))
  assert.match((await mcp.ask('status')).missing.join('\n'), /no\/b\.log/)
  assert.equal(await mcp.stop(), 0)
  assert.match(readFileSync(file, 'utf8'), /"msg":"stopped"/)
})

test('in the background: the caller waits until all is up', { timeout }, async () => {
  const made = world()
  made.writeConfig(configText(made))
  const caller = launchMcp(made, ['--as-caller', '--background'])
  assert.equal(await caller.exited, 0)
  const pid = Number(readFileSync(join(made.run, 'posthorn.pid'), 'utf8'))
  try {
    await (await openSession(caller.port())).quit()
    const again = launchMcp(made, ['--as-caller', '--background'])
    assert.equal(await again.exited, 69)
  } finally {
    process.kill(pid, 'SIGTERM')
  }
  await ended(pid)
})

function refused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', () => resolve(true))
  })
}
