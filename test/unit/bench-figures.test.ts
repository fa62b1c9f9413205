/** The bench reads its words and counts rightly. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import test from 'node:test'
import { readOptions, UsageError } from '../bench/options.ts'
import { cpuTimeOf, cpuTimeSince, memoryOf, sumOf } from '../bench/process-tree.ts'
import { describeCase, median, medians, type Result, table } from '../bench/report.ts'

test('words become cases', () => {
  const plain = readOptions([])
  assert.deepEqual(plain.cases, [
    { sessions: 50, size: 4096, recipients: 1, reconnect: false, messages: 20_000, peerMessages: 5000 },
  ])
  assert.deepEqual([plain.repeat, plain.peer, plain.json], [3, null, false])
  const told = readOptions([
    '--peer',
    'postfix',
    '--sessions=1',
    '--new-connections',
    '--messages',
    '10',
    '--json',
  ])
  assert.equal(told.peer, 'postfix')
  assert.equal(told.cases[0]?.peerMessages, 3)
  assert.equal(
    describeCase(told.cases[0] ?? assert.fail()),
    '1 session, a connection for each message, 4096 octets',
  )
  assert.equal(readOptions(['--all']).cases.length, 6)
})

test('wrong words are refused by name', () => {
  for (const words of [['--sessions', '0'], ['--size', '4k'], ['--peer', 'exim'], ['--quick'], ['extra']]) {
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
  assert.match(lines[3] ?? '', /^ratio +4\.00x +4\.00x +0\.25x/)
  assert.match(lines[4] ?? '', /posthorn: qmgr 2\.000$/)
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
