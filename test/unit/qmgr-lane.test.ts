/** Whose turn it is before one destination. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { freshEntry } from '../../services/qmgr/entry.ts'
import { Lane } from '../../services/qmgr/lane.ts'
import { type Priority, priorityOf } from '../../services/qmgr/priority.ts'
import { type Task, tasksOf } from '../../services/qmgr/tasks.ts'
import type { Envelope } from '../../shared/message/envelope.ts'

function envelope(sender: string, more: Partial<Envelope> = {}): Envelope {
  const route = { kind: 'smtp' as const, zone: '.', destination: 'x', protocol: 'smtp' as const, hosts: [] }
  return {
    id: 1,
    sender,
    recipients: [{ address: 'r@x', route }],
    size: 0,
    body: '7bit',
    smtputf8: false,
    receivedAt: 0,
    origin: { listener: 'mx', session: '', client: '' },
    ...more,
  }
}

function task(sender: string, priority: Priority): Task {
  const entry = freshEntry(envelope(sender), new Uint8Array())
  entry.priority = priority
  for (const slot of entry.slots) slot.state = 'queued'
  const [only] = tasksOf(entry, entry.slots, () => 9)
  if (!only) throw new Error('no task')
  return only
}

function turns(lane: Lane, count: number): string {
  return Array.from({ length: count }, () => lane.take()?.entry.envelope.sender ?? '.').join('')
}

describe('lane', () => {
  it('lets senders take turns, in order of arrival inside each', () => {
    const lane = new Lane()
    for (let n = 0; n < 4; n++) lane.add(task('a', 'normal'))
    lane.add(task('b', 'normal'))
    lane.add(task('c', 'normal'))
    assert.equal(turns(lane, 7), 'abcaaa.')
  })

  it('shares by weight between priorities, and starves none', () => {
    const lane = new Lane()
    for (let n = 0; n < 100; n++) {
      lane.add(task('u', 'urgent'))
      lane.add(task('n', 'normal'))
      lane.add(task('b', 'bulk'))
    }
    const first = turns(lane, 26)
    const count = (sender: string) => first.split(sender).length - 1
    assert.deepEqual([count('u'), count('n'), count('b')], [16, 8, 2])
    assert.equal(turns(lane, 300 - 26).includes('.'), false)
    assert.equal(lane.take(), null)
  })

  it('does not let a priority that was away make up for it', () => {
    const lane = new Lane()
    for (let n = 0; n < 100; n++) lane.add(task('u', 'urgent'))
    turns(lane, 50)
    for (let n = 0; n < 50; n++) lane.add(task('b', 'bulk'))
    assert.ok(turns(lane, 9).split('b').length - 1 <= 2)
  })

  it('passes over what was taken out', () => {
    const lane = new Lane()
    const gone = task('a', 'normal')
    lane.add(gone)
    lane.add(task('b', 'normal'))
    for (const slot of gone.slots) slot.state = 'done'
    assert.equal(turns(lane, 2), 'b.')
    assert.equal(lane.peek(), null)
  })
})

describe('priority', () => {
  const local = { listener: 'local', session: '', client: '', uid: 1000 }

  it('goes by who sent it, what it says of itself, and how many it is for', () => {
    const plain = Buffer.from('Subject: x\r\n\r\nPrecedence: bulk\r\n')
    assert.equal(priorityOf(envelope('a'), plain), 'normal')
    assert.equal(priorityOf(envelope('a', { origin: local }), plain), 'urgent')
    assert.equal(
      priorityOf(envelope('a', { origin: local }), Buffer.from('precedence: list\r\n\r\n')),
      'bulk',
    )
    assert.equal(priorityOf(envelope('a'), Buffer.from('List-Id: <x.y>\r\n\r\n')), 'bulk')
    const many = Array.from({ length: 51 }, () => ({ address: 'r@x' }))
    assert.equal(priorityOf(envelope('a', { recipients: many }), null), 'bulk')
  })
})
