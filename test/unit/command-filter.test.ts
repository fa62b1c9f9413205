/** From the words of `posthorn queue` to the selection that is asked for, and what is said of words that are wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterOf } from '../../commands/posthorn/queue-filter.ts'
import { Trouble } from '../../commands/posthorn/trouble.ts'
import { readWords } from '../../commands/posthorn/words.ts'
import { queueFilterShape } from '../../shared/bus/queue.ts'

const now = 1_000_000_000

function filter(...words: string[]): unknown {
  const read = readWords(['queue', 'list', ...words])
  if (read.kind === 'usage') throw new Error(read.message)
  const selection = filterOf(read.call, now)
  assert.ok(queueFilterShape.accepts(selection), queueFilterShape.explain(selection, 'filter'))
  return selection
}

function complaint(...words: string[]): string {
  try {
    return `accepted: ${JSON.stringify(filter(...words))}`
  } catch (error) {
    assert.ok(error instanceof Trouble)
    assert.equal(error.exit, 64)
    return error.message
  }
}

test('each word is a part of the selection', () => {
  assert.deepEqual(filter(), {})
  assert.deepEqual(filter('T1', 't2'), { ids: [1, 2] })
  assert.deepEqual(filter('--state', 'removed', '--in-doubt'), { state: 'removed', inDoubt: true })
  assert.deepEqual(filter('--older', '1s', '--younger', '2m'), {
    receivedBefore: now - 1000,
    receivedAfter: now - 120_000,
  })
  assert.deepEqual(filter('--larger', '10K', '--smaller', '1M'), {
    largerThan: 10_240,
    smallerThan: 1_048_576,
  })
  assert.deepEqual(filter('--code', '4.7.*', '--reply', 'Grey'), { code: '4.7.*', reply: 'Grey' })
})

test('addresses and domains are asked for as they are stored', () => {
  assert.deepEqual(filter('--sender', '<>'), { sender: '' })
  assert.deepEqual(filter('--sender', '<A.b@X.Org>'), { sender: 'A.b@x.org' })
  assert.deepEqual(filter('--recipient', 'A*'), { recipient: 'A*' })
  assert.deepEqual(filter('--recipient', '*@BÜCHER.example'), { recipient: '*@xn--bcher-kva.example' })
  assert.deepEqual(filter('--domain', '*.bücher.example'), { domain: '*.xn--bcher-kva.example' })
  assert.deepEqual(filter('--recipient', 'x@[192.0.2.1]'), { recipient: 'x@[192.0.2.1]' })
})

test('what cannot be read is named, with what would be right', () => {
  assert.match(complaint('!'), /^! is no message id; they look like T/)
  assert.match(complaint('--state', 'lost'), /^--state lost: one of active, deferred, held, removed$/)
  assert.match(complaint('--older', '5'), /^--older: `5` has no unit; write `5s`/)
  assert.match(complaint('--younger', 'soon'), /^--younger: `soon` is no duration; /)
  assert.match(complaint('--larger', '10MB'), /^--larger: `10MB` is no size; write `10M`/)
  for (const code of ['45', '999', '*', '4.7', '1*', '4.*.1', '451*'])
    assert.match(complaint('--code', code), /^--code .*: 451, 4\*, 4.7.1 or 4.7.\*$/)
  assert.match(complaint('--domain', 'ü b'), /is no domain/)
  assert.match(complaint('--reply', 'x'.repeat(1001)), /^--reply: more than 1000 characters$/)
})
