/** Group commit over a disk that is slow, full or broken: who is told yes, and what is kept. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Journal } from '../../services/qmgr/journal.ts'
import { MemoryStore } from '../../services/qmgr/memory-store.ts'
import type { Batch, StoredMessage } from '../../services/qmgr/store.ts'
import { StoreTrouble } from '../../services/qmgr/store.ts'
import type { StorePort } from '../../services/qmgr/store-port.ts'
import { silentLog } from '../../shared/base/log.ts'

/** A port whose commits end when the test says so. */
class SlowPort {
  readonly store = new MemoryStore()
  readonly batches: Batch[] = []
  #release: (() => void)[] = []
  held = false

  async apply(batch: Batch): Promise<void> {
    this.batches.push(batch)
    if (this.held) await new Promise<void>((resolve) => this.#release.push(resolve))
    this.store.apply(batch)
  }

  call: StorePort['call'] = (method, ...values) => {
    const run = this.store[method] as (...given: unknown[]) => ReturnType<MemoryStore[typeof method]>
    return Promise.resolve(run.apply(this.store, values)) as never
  }

  release(): void {
    for (const resolve of this.#release.splice(0)) resolve()
  }
}

function message(id: number): StoredMessage {
  return { id, envelope: Buffer.from('e'), content: Buffer.from('c') }
}

const turn = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)))

describe('journal', () => {
  it('gives one that is alone a batch of its own, and the crowd behind a busy disk one together', async () => {
    const port = new SlowPort()
    const journal = new Journal(port, silentLog, () => undefined)
    port.held = true
    const first = journal.insert(message(1))
    await turn()
    const crowd = [2, 3, 4].map((id) => journal.insert(message(id)))
    await turn()
    assert.deepEqual(
      port.batches.map((batch) => batch.inserts.length),
      [1],
    )
    port.held = false
    port.release()
    await Promise.all([first, ...crowd])
    assert.deepEqual(
      port.batches.map((batch) => batch.inserts.length),
      [1, 3],
    )
  })

  for (const trouble of ['full', 'broken'] as const) {
    it(`says no to mail when the disk is ${trouble}, keeps results and reports, and heals`, {
      timeout: 20_000,
    }, async () => {
      const port = new SlowPort()
      const healths: string[] = []
      let healed: () => void = () => undefined
      const good = new Promise<void>((resolve) => {
        healed = resolve
      })
      const journal = new Journal(port, silentLog, (health) => {
        healths.push(health)
        if (health === 'good') healed()
      })
      await journal.insert(message(1))
      port.store.failNext(trouble)
      const refused = journal.insert(message(2))
      let reported = false
      journal.record([{ kind: 'remove', message: 1 }], [message(9)], () => {
        reported = true
      })
      await assert.rejects(refused, (error) => error instanceof StoreTrouble && error.trouble === trouble)
      await assert.rejects(journal.insert(message(3)), StoreTrouble)
      await good
      await journal.settled()
      assert.equal(reported, true)
      assert.deepEqual(
        port.store.recover().map((one) => one.id),
        [9],
        'the result and its report, not the refused mail',
      )
      assert.deepEqual(healths, [trouble, 'good'])
      await journal.insert(message(4))
    })
  }

  it('calls the store behind everything recorded before', async () => {
    const port = new SlowPort()
    const journal = new Journal(port, silentLog, () => undefined)
    port.held = true
    void journal.insert(message(1))
    await turn()
    void journal.insert(message(2))
    const seen = journal.behind(() =>
      Promise.resolve(port.batches.flatMap((batch) => batch.inserts.map((one) => one.id))),
    )
    port.held = false
    port.release()
    assert.deepEqual(await seen, [1, 2])
  })

  it('does not call the store behind what could not be written, but goes on with a full disk', {
    timeout: 20_000,
  }, async () => {
    const port = new SlowPort()
    const journal = new Journal(port, silentLog, () => undefined)
    await journal.insert(message(1))
    port.store.failNext('full')
    const refused = journal.insert(message(2))
    journal.record([{ kind: 'remove', message: 1 }])
    const early = journal.behind(() => Promise.resolve('called'))
    await assert.rejects(refused, StoreTrouble)
    await assert.rejects(early, StoreTrouble)
    assert.equal(journal.health, 'full')
    assert.deepEqual(await journal.behind(() => Promise.resolve(port.store.recover())), [])
  })

  it('keeps the order of what concerns one message while the disk is full', { timeout: 20_000 }, async () => {
    const port = new SlowPort()
    const journal = new Journal(port, silentLog, () => undefined)
    port.store.failNext('full')
    await assert.rejects(journal.insert(message(1)), StoreTrouble)
    const before = port.batches.length
    journal.record([{ kind: 'settle', message: 5, n: 0 }], [message(9)])
    journal.record([{ kind: 'remove', message: 5 }])
    journal.record([{ kind: 'remove', message: 6 }])
    await journal.settled()
    const changes = port.batches.slice(before).flatMap((batch) => batch.changes)
    assert.deepEqual(changes, [
      { kind: 'remove', message: 6 },
      { kind: 'settle', message: 5, n: 0 },
      { kind: 'remove', message: 5 },
    ])
  })
})
