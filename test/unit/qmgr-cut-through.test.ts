/** Cut-through: what the client hears when, and what goes to the store. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ActiveQueue, Conclusion } from '../../services/qmgr/active-queue.ts'
import { CutThrough, type Wait } from '../../services/qmgr/cut-through.ts'
import { type Entry, freshEntry } from '../../services/qmgr/entry.ts'
import type { Change } from '../../services/qmgr/store.ts'
import { silentLog } from '../../shared/base/log.ts'
import type { Recipient } from '../../shared/message/envelope.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'

const reply: Reply = { code: 250, enhanced: '2.0.0', text: 'ok', host: 'mx' }
const sent: Outcome = { kind: 'sent', reply }
const never: Outcome = { kind: 'never', reply: { ...reply, code: 550, enhanced: '5.1.1', text: 'no' } }
const later: Outcome = {
  kind: 'later',
  blame: 'recipient',
  reply: { ...reply, code: 450, enhanced: '4.2.1', text: 'busy' },
}
const LONG: Wait = { deadline: 60_000, verdict: true }

class House {
  commits: (readonly Change[])[] = []
  concluded: Conclusion[] = []
  forgotten = 0
  broken = false
  readonly cutThrough: CutThrough
  readonly entry: Entry

  constructor(recipients: Recipient[]) {
    this.entry = freshEntry(
      {
        ...{ id: 1, sender: 'a@x', recipients, size: 1, body: '7bit', smtputf8: false, receivedAt: 0 },
        origin: { listener: 'local', session: 'S1', client: '' },
      },
      Buffer.from('x'),
    )
    const queue = {
      admit: () => undefined,
      settleUnstored: ({ open }: Entry, { slot }: Conclusion) => {
        slot.state = 'done'
        this.entry.open = open - 1
      },
      conclude: (_: Entry, conclusions: readonly Conclusion[]) => void this.concluded.push(...conclusions),
      forget: () => {
        this.forgotten++
      },
    }
    this.cutThrough = new CutThrough({
      queue: queue as unknown as ActiveQueue,
      commit: async (_, changes) => {
        if (this.broken) throw new Error('disk')
        this.commits.push(changes)
      },
      replyFor: () => ({ ...reply, code: 451, enhanced: '4.3.0', text: 'disk' }),
      forget: () => undefined,
      log: silentLog,
    })
  }

  conclude(...outcomes: (readonly [number, Outcome])[]): void {
    const conclusions = outcomes.flatMap(([n, outcome]) => {
      const slot = this.entry.slots[n]
      return slot ? [{ slot, outcome }] : []
    })
    this.entry.provisional?.conclude(conclusions)
  }
}

const two = [{ address: 'b@y' }, { address: 'c@y', original: 'list@y' }]

describe('a verdict', () => {
  it('names each recipient by what the client called them, and stores nothing', async () => {
    const house = new House(two)
    const answer = house.cutThrough.begin(house.entry, LONG)
    house.conclude([0, sent], [1, never])
    assert.deepEqual(await answer, {
      kind: 'accepted',
      fates: [
        { address: 'b@y', outcome: sent },
        { address: 'list@y', outcome: never },
      ],
    })
    assert.deepEqual([house.commits, house.concluded, house.forgotten], [[], [], 1])
  })

  it('is a refusal when nobody got it', async () => {
    const house = new House(two)
    const answer = house.cutThrough.begin(house.entry, LONG)
    house.conclude([1, never])
    house.conclude([0, never])
    const { kind, fates } = await answer
    assert.deepEqual([kind, fates?.length], ['refused', 2])
    assert.deepEqual([house.commits, house.forgotten], [[], 1])
  })

  it('comes with the first attempt: who must wait is in the queue, who was refused is not', async () => {
    const house = new House(two)
    const answer = house.cutThrough.begin(house.entry, LONG)
    house.conclude([0, later], [1, never])
    const { kind, fates } = await answer
    assert.deepEqual([kind, fates?.map((fate) => fate.outcome?.kind)], ['accepted', ['later', 'never']])
    assert.deepEqual(house.commits, [[{ kind: 'settle', message: 1, n: 1 }]])
    assert.deepEqual(
      house.concluded.map(({ slot }) => slot.n),
      [0],
    )
  })

  it('says nothing of who was not tried in time, and the queue hears of them later', async () => {
    const house = new House(two)
    const answer = house.cutThrough.begin(house.entry, { deadline: 1, verdict: true })
    assert.deepEqual(await answer, {
      kind: 'accepted',
      fates: [{ address: 'b@y' }, { address: 'list@y' }],
    })
    assert.equal(house.commits.length, 1)
    assert.equal(house.entry.provisional, null)
  })

  it('does not pretend when the disk fails', async () => {
    const house = new House(two)
    house.broken = true
    const answer = house.cutThrough.begin(house.entry, LONG)
    house.conclude([0, sent], [1, later])
    const { kind, fates } = await answer
    assert.deepEqual([kind, fates?.[0]?.outcome?.kind], ['refused', 'sent'])
  })
})

describe('without one', () => {
  it('only the refusal of the only recipient is told, and several go to the queue', async () => {
    const alone = new House([{ address: 'b@y' }])
    const refused = alone.cutThrough.begin(alone.entry, { deadline: 60_000, verdict: false })
    alone.conclude([0, never])
    assert.deepEqual(await refused, { kind: 'refused', reply: never.reply })

    const house = new House(two)
    const answer = house.cutThrough.begin(house.entry, { deadline: 60_000, verdict: false })
    house.conclude([0, sent], [1, never])
    assert.deepEqual(await answer, { kind: 'accepted' })
    assert.deepEqual(
      house.concluded.map(({ slot }) => slot.n),
      [1],
    )
  })
})
