/** More recipients than one transaction holds: who is asked about, who gets it, and what that comes to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inBatches } from '../../commands/sendmail/batches.ts'
import type { Verdict } from '../../commands/sendmail/judgement.ts'

const fine: Verdict = { exit: 0, lines: [], again: false }
const five = { recipients: ['a', 'b', 'c', 'd', 'e'], most: 2 }

async function play(
  asks: Readonly<Record<string, Verdict>>,
  sends: Readonly<Record<string, Verdict>> = {},
): Promise<Verdict & { sent: string[] }> {
  const sent: string[] = []
  const verdict = await inBatches(five, {
    ask: async (recipients) => asks[recipients.join('')] ?? fine,
    send: async (recipients) => {
      sent.push(recipients.join(''))
      return sends[recipients.join('')] ?? fine
    },
  })
  return { ...verdict, sent }
}

const later = (line: string): Verdict => ({ exit: 75, lines: [line], again: false })
const never = (line: string): Verdict => ({ exit: 67, lines: [line], again: false })

test('all are taken: each once', async () => {
  assert.deepEqual(await play({}), { ...fine, sent: ['ab', 'cd', 'e'] })
})

test('one is put off when asked about: nobody gets it', async () => {
  assert.deepEqual(await play({ e: later('<e>: 450 x') }), { ...later('<e>: 450 x'), sent: [] })
})

test('one is refused: named, and the others get it', async () => {
  const { exit, lines, sent } = await play({ cd: never('<c>: 550 x'), e: never('<e>: 550 y') })
  assert.deepEqual([exit, lines, sent], [67, ['<c>: 550 x', '<e>: 550 y'], ['ab', 'd']])
})

test('the sender is refused: said once, and nothing is sent', async () => {
  const no: Verdict = { exit: 77, lines: ['sender <x>: 550 no'], again: false }
  const { exit, lines, sent } = await play({ ab: no, cd: no, e: no })
  assert.deepEqual([exit, lines, sent], [77, no.lines, []])
})

test('the first is put off: all of it may be tried again', async () => {
  assert.deepEqual(await play({}, { ab: later('x') }), { ...later('x'), sent: ['ab'] })
})

test('a later one is put off: who is left is named, and it is not 75', async () => {
  const { exit, lines, sent } = await play({}, { cd: later('message: 451 x') })
  assert.equal(exit, 69)
  assert.deepEqual(
    lines.slice(0, 3),
    ['c', 'd', 'e'].map((who) => `<${who}>: message: 451 x`),
  )
  assert.match(lines[3] ?? '', /^the others have the message/)
  assert.deepEqual(sent, ['ab', 'cd'])
})
