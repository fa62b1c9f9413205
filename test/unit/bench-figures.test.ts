/** The bench reads its words and counts rightly. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import test from 'node:test'
import { type BenchOptions, readOptions, UsageError } from '../bench/options.ts'
import { quantile } from '../bench/paced.ts'
import { cpuTimeOf, cpuTimeSince, memoryOf, sumOf } from '../bench/process-tree.ts'
import { describeCase, median, medians, type Result, table } from '../bench/report.ts'
import { type Row, renderRows, verdictOf } from '../bench/targets.ts'

const casesOf = ({ mode }: BenchOptions) => (mode.kind === 'cases' ? mode.cases : [])

test('words become cases', () => {
  const plain = readOptions([])
  assert.deepEqual(casesOf(plain), [
    { sessions: 50, size: 4096, recipients: 1, reconnect: false, messages: 20_000, peerMessages: 5000 },
  ])
  assert.deepEqual([plain.repeat, plain.peers, plain.json], [3, [], false])
  const told = readOptions([
    '--peer',
    'postfix',
    '--sessions=1',
    '--new-connections',
    '--messages',
    '10',
    '--json',
  ])
  assert.deepEqual(told.peers, ['postfix'])
  assert.equal(casesOf(told)[0]?.peerMessages, 3)
  assert.equal(
    describeCase(casesOf(told)[0] ?? assert.fail()),
    '1 session, a connection for each message, 4096 octets',
  )
  assert.equal(casesOf(readOptions(['--all'])).length, 6)
})

test('other measures have words of their own', () => {
  assert.deepEqual(readOptions(['--slow-sync', '20']).mode, { kind: 'slow-sync', delayMs: 20 })
  assert.deepEqual(readOptions(['--authentication', '--messages', '5']).mode, {
    kind: 'authentication',
    messages: 5,
  })
  assert.deepEqual(readOptions(['--engine']).mode, { kind: 'engine', messages: 20_000 })
  assert.deepEqual(readOptions(['--million']).mode, { kind: 'deferred', count: 1_000_000 })
  assert.deepEqual(readOptions(['--dead-destinations=9']).mode, { kind: 'dead-destinations', count: 9 })
  const table = readOptions(['--table', '--peer=haraka', '--peer=sendmail', '--peer=haraka'])
  assert.deepEqual([table.mode, table.peers], [{ kind: 'table', messages: 20_000 }, ['haraka', 'sendmail']])
})

test('wrong words are refused by name', () => {
  const wrong = [
    ['--sessions', '0'],
    ['--size', '4k'],
    ['--peer', 'exim'],
    ['--quick'],
    ['extra'],
    ['--slow-sync'],
    ['--table', '--million'],
  ]
  for (const words of wrong) {
    assert.throws(() => readOptions(words), UsageError, words.join(' '))
  }
})

test('medians and ratios', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  const run = (accepted: number, cpuMs: number) => ({
    accepted,
    delivered: accepted,
    cpuMs,
    cpuMsBy: { qmgr: cpuMs },
  })
  const memory = { processes: 1, pssMiB: 100 }
  const ours: Result = {
    name: 'posthorn',
    runs: [run(10, 1), run(30, 3), run(20, 2)],
    idle: memory,
    loaded: memory,
  }
  assert.deepEqual(medians(ours.runs), { accepted: 20, delivered: 20, cpuMs: 2 })
  const theirs: Result = { ...ours, name: 'postfix', runs: [run(5, 8)] }
  const lines = table([ours, theirs]).split('\n')
  assert.match(lines[3] ?? '', /^: postfix +4\.00x +4\.00x +0\.25x/)
  assert.match(lines[4] ?? '', /posthorn: qmgr 2\.000$/)
})

test('quantiles are values that there were', () => {
  const hundred = Array.from({ length: 100 }, (_, n) => 100 - n)
  assert.deepEqual(
    [0, 0.5, 0.99, 1].map((part) => quantile(hundred, part)),
    [1, 50, 99, 100],
  )
  assert.equal(quantile([], 0.5), Number.NaN)
})

test('a row says whether its target was reached', () => {
  const row: Row = {
    title: 'relay',
    unit: '/s',
    digits: 0,
    wanted: { least: 5 },
    figures: { posthorn: 600, postfix: 100, haraka: 50 },
  }
  assert.deepEqual(verdictOf(row), { ratio: 6, verdict: 'reached' })
  assert.equal(verdictOf({ ...row, wanted: { most: 5 } }).verdict, 'MISSED')
  assert.equal(verdictOf({ ...row, figures: { posthorn: 600 } }).verdict, '')
  const [head = '', line = ''] = renderRows([row]).split('\n')
  assert.match(head, /^case +posthorn +postfix +haraka +ratio +wanted/)
  assert.match(line, /^relay +\/s +600 +100 +50 +6\.00x +>= 5x +reached$/)
})

test('the CPU time and memory of a process tree, with children that have ended', {
  timeout: 60_000,
}, async (t) => {
  const burn = 'const end = process.cpuUsage().user + 3e5; while (process.cpuUsage().user < end);'
  const script = `${burn} require('node:child_process').spawnSync(process.execPath, ['-e', ${JSON.stringify(burn)}]);
    console.log('done'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill())
  await once(child.stdout, 'data')
  const time = cpuTimeOf(child.pid ?? -1)
  assert.ok(sumOf(time) >= 500, JSON.stringify(time)) // both have burnt 300 ms
  assert.equal(sumOf(cpuTimeSince(time, time)), 0)
  const memory = memoryOf(child.pid ?? -1)
  assert.equal(memory.processes, 1)
  assert.ok(memory.pssMiB > 5)
})
