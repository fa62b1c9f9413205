/** When reading pauses: after many reads of next to nothing, and for nobody who sends as mail programs do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pace } from '../../services/smtpd/pace.ts'

class Reads {
  destroyed = false
  pauses = 0
  resumed = 0
  readonly #pace = new Pace(this)

  pause(): void {
    this.pauses++
  }

  resume(): void {
    this.resumed++
  }

  take(text: string, times: number, receiving: boolean, mayGoOn = true): this {
    for (let n = 0; n < times; n++) this.#pace.took(Buffer.from(text), receiving, () => mayGoOn)
    return this
  }
}

test('who sends command lines, however short, is never kept waiting', () => {
  assert.equal(new Reads().take('RSET\r\n', 1000, false).pauses, 0)
})

test('nor who sends content in lines, or in larger pieces', () => {
  assert.equal(new Reads().take('a line of some length\r\n', 1000, true).pauses, 0)
  assert.equal(new Reads().take('x'.repeat(2000), 1000, true).pauses, 0)
})

test('octets one by one are read with pauses, in content and in commands', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  for (const receiving of [true, false]) {
    const reads = new Reads().take('x', 8, receiving)
    assert.equal(reads.pauses, 0)
    assert.equal(reads.take('x', 1, receiving).pauses, 1)
    assert.equal(reads.resumed, 0)
    t.mock.timers.tick(1000)
    assert.equal(reads.resumed, 1)
    // what has gathered meanwhile is still little
    assert.equal(reads.take('x'.repeat(500), 1, receiving).pauses, 2)
    assert.equal(reads.take('x'.repeat(2000), 1, receiving).take('x', 8, receiving).pauses, 2)
  }
})

test('nothing is read again that nobody wants', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const stuck = new Reads().take('x', 9, true, false)
  const gone = new Reads().take('x', 9, true)
  gone.destroyed = true
  t.mock.timers.tick(1000)
  assert.deepEqual([stuck.pauses, stuck.resumed, gone.pauses, gone.resumed], [1, 0, 1, 0])
})
