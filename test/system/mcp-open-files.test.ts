/** The limit of open files: raised to what the config's limits can take where that may be, told of where it may not. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { filesNeeded } from '../../services/mcp/open-files.ts'
import { nativeCalls, whyNoNative } from '../../shared/system/native.ts'
import { openFileLimit, setOpenFileLimit } from '../../shared/system/open-files.ts'
import { configText, makeWorld, startMcp } from './mcp-stage.ts'

const timeout = 120_000
const isRoot = process.getuid?.() === 0
const FEW = ['prlimit', '--nofile=200:200']
/** Root without the right to raise limits. */
const BARRED = [...FEW, 'setpriv', '--bounding-set=-sys_resource']

async function start(t: TestContext, before: string[], sessions: number) {
  const world = makeWorld()
  t.after(() => world.remove())
  const write = (limit: number) =>
    world.writeConfig(configText(world, { mx: `port 0; session-limit ${limit};` }))
  write(sessions)
  const mcp = await startMcp(world, ['--as-caller'], undefined, before)
  t.after(() => mcp.stop())
  return { mcp, write }
}

function limitsOf(pid: number): string[] {
  const [, soft = '', hard = ''] =
    /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1')) ?? []
  return [soft, hard]
}

/** Of this process; containers often take it from root. */
function mayRaise(): boolean {
  const [, own = '0'] = /^CapEff:\s+(\w+)/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? []
  return ((BigInt(`0x${own}`) >> 24n) & 1n) === 1n
}

test('the limit of another process is set', { timeout }, async (t) => {
  if (nativeCalls()?.prlimit == null) return t.skip(`no prlimit here: ${whyNoNative()}`)
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  const left = once(child, 'exit')
  const pid = child.pid ?? 0
  const before = openFileLimit(pid) ?? 0
  // anybody may lower it
  assert.ok(setOpenFileLimit(pid, before - 7))
  assert.equal(openFileLimit(pid), before - 7)
  assert.equal(setOpenFileLimit(pid, 2 ** 40), false, 'no kernel allows that')
  assert.equal(openFileLimit(pid), before - 7)
  child.stdin.end()
  await left
  assert.equal(openFileLimit(pid), null)
})

test('what a config can take', () => {
  const filters = [{}, {}] as never[]
  const plain = { sessionLimit: 500, filters: [] }
  const needed = filesNeeded({
    qmgr: { sessionLimit: 1000, maxConcurrency: 20 },
    smtpd: { listeners: [plain, { sessionLimit: 10, filters }] },
    submission: { listeners: [] },
  })
  assert.deepEqual(needed, { smtpd: 596, submission: 64, smtpc: 1064, qmgr: 2064 })
})

test('root raises it, at a reload for who runs already', { timeout }, async (t) => {
  if (!mayRaise()) return t.skip('this needs CAP_SYS_RESOURCE: that a limit is raised was not tested')
  const { mcp, write } = await start(t, FEW, 3000)
  assert.deepEqual(
    (await mcp.ask('status')).missing.filter((one) => one.includes('open')),
    [],
  )
  const [pid = 0] = await mcp.pids('smtpd')
  const before = limitsOf(pid)
  assert.deepEqual(before, ['3065', '3065'])
  write(5000)
  assert.equal((await mcp.ask('reload')).kind, 'done')
  assert.deepEqual(limitsOf(pid), ['5065', '5065'])
})

test('who may not raise it hears of it', { timeout }, async (t) => {
  const { mcp } = await start(t, isRoot ? BARRED : FEW, 3000)
  await mcp.logged(/"why":"smtpd may have 200 files .* allows for 3065: .*too few open files/)
  const { missing } = await mcp.ask('status')
  assert.ok(missing.some((one) => one.startsWith('smtpd may have 200 files')))
  const [pid = 0] = await mcp.pids('smtpd')
  assert.deepEqual(limitsOf(pid), ['200', '200'])
})
