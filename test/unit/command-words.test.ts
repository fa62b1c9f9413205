/** The command line of posthorn: what is read, what is refused, and with which hint. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Call, commandTable, readWords, renderHelp } from '../../commands/posthorn/words.ts'

function call(...argv: string[]): Call {
  const words = readWords(argv)
  assert.equal(words.kind, 'call', JSON.stringify(words))
  if (words.kind !== 'call') throw new Error('unreachable')
  return words.call
}

function usage(...argv: string[]): string {
  const words = readWords(argv)
  assert.equal(words.kind, 'usage', `${argv.join(' ')} was accepted`)
  return words.kind === 'usage' ? words.message : ''
}

test('options stand before and behind the words', () => {
  const start = call('-c', '/a.conf', 'start', '--as-caller', '--directory=/q')
  assert.equal(start.command, 'start')
  assert.deepEqual(start.values, { config: '/a.conf', directory: '/q' })
  assert.ok(start.flags.has('as-caller'))
})

test('two words, and what they work on', () => {
  const hold = call('queue', 'hold', 'T1', '--sender', '*@x.org', 'T2')
  assert.deepEqual([hold.command, hold.operands], ['queue hold', ['T1', 'T2']])
  assert.equal(hold.values.sender, '*@x.org')
  assert.deepEqual(call('check', '/b.conf').operands, ['/b.conf'])
})

test('no words, or --help anywhere: help', () => {
  assert.equal(call().command, 'help')
  assert.equal(call('queue', 'list', '--help').command, 'help')
  assert.equal(call('-h').command, 'help')
})

test('what is wrong is named, with the nearest right word', () => {
  assert.match(usage('strat'), /unknown command strat; did you mean `start`\?/)
  assert.match(usage('queue', 'lits'), /did you mean `queue list`/)
  assert.match(usage('queue'), /unknown command queue/)
  assert.match(usage('status', '--jsn'), /unknown option --jsn; did you mean `--json`/)
  assert.match(usage('start', '--json'), /"posthorn start" has no option --json/)
  assert.match(usage('stop', 'now'), /"posthorn stop" takes no "now"/)
  assert.match(usage('queue', 'show'), /needs a message id/)
  assert.match(usage('queue', 'show', 'T1', 'T2'), /takes no "T2"/)
  assert.match(usage('status', '--config'), /--config needs a value: FILE/)
  assert.match(usage('status', '--json=yes'), /takes no value/)
  assert.match(usage('constructor'), /unknown command/)
  assert.match(usage('status', '--constructor'), /unknown option/)
})

test('help names every command and fits a terminal', () => {
  const help = renderHelp()
  for (const name of Object.keys(commandTable)) assert.ok(help.includes(`\n  ${name}`), name)
  for (const line of help.split('\n')) assert.ok(line.length <= 100, line)
})
