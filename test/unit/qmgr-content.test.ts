/** Large content: in through a file and memory, out from either, and what is left when it fails. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { ContentFiles } from '../../services/qmgr/content-files.ts'
import { OutgoingFile, OutgoingPieces } from '../../services/qmgr/outgoing.ts'
import { RecentContent } from '../../services/qmgr/recent-content.ts'
import { StoreTrouble } from '../../services/qmgr/store.ts'

let spool = ''
beforeEach(() => {
  spool = mkdtempSync(join(tmpdir(), 'posthorn-content-'))
})
afterEach(() => rmSync(spool, { recursive: true, force: true }))

const pieces = Array.from({ length: 20 }, (_, n) => Buffer.alloc(50_000 + n, 97 + n))
const whole = Buffer.concat(pieces)

async function received(memory: number): Promise<ContentFiles> {
  const files = new ContentFiles(spool, memory)
  await files.prepare()
  const file = files.create(7)
  for (const piece of pieces) void file.append(piece)
  await file.seal()
  return files
}

describe('content files', () => {
  it('hold what came, in order, and memory has it too when there is room', async () => {
    const files = await received(whole.length)
    assert.ok(readFileSync(files.path(7)).equals(whole))
    assert.ok(Buffer.concat(files.recent(7) ?? []).equals(whole))
    files.forget(7)
    assert.equal(files.recent(7), null)
    assert.ok(existsSync(files.path(7)))
    await files.remove(7)
    assert.equal(existsSync(files.path(7)), false)
  })

  it('keep nothing in memory of what does not fit whole', async () => {
    const files = await received(whole.length - 1)
    assert.equal(files.recent(7), null)
    assert.ok(readFileSync(files.path(7)).equals(whole))
  })

  it('keep no message in memory that is large by itself, and give back what it had taken', () => {
    const recent = new RecentContent(8 << 20)
    const large = recent.begin(1)
    for (let n = 0; n < 100; n++) large.add(Buffer.alloc(50_000))
    assert.equal(recent.get(1), null)
    const others = [2, 3].map((id) => ({ id, memory: recent.begin(id) }))
    for (const { memory } of others) memory.add(Buffer.alloc(4 << 20))
    for (const { id } of others) assert.equal(recent.get(id)?.length, 1)
  })

  it('are gone when abandoned, with what was kept of them', async () => {
    const files = new ContentFiles(spool, 1 << 20)
    await files.prepare()
    const file = files.create(8)
    void file.append(Buffer.alloc(1000))
    await file.abandon()
    assert.equal(existsSync(files.path(8)), false)
    assert.equal(files.recent(8), null)
  })

  it('tell at the seal what could not be written, and touch nothing that was there before', async () => {
    const files = new ContentFiles(spool, 1 << 20)
    await files.prepare()
    writeFileSync(files.path(9), 'in the way')
    const file = files.create(9)
    void file.append(Buffer.alloc(10))
    await assert.rejects(file.seal(), StoreTrouble)
    assert.equal(files.recent(9), null)
    assert.equal(readFileSync(files.path(9), 'utf8'), 'in the way')
  })

  it('sweep away what no row names', async () => {
    const files = await received(0)
    assert.equal(await files.sweep(new Set([7])), 0)
    assert.equal(await files.sweep(new Set()), 1)
    assert.equal(existsSync(files.path(7)), false)
  })
})

describe('outgoing content', () => {
  for (const from of ['memory', 'file'] as const) {
    it(`comes from ${from} as credit allows, whole, its last piece marked`, async () => {
      const files = await received(from === 'memory' ? whole.length : 0)
      const got: Buffer[] = []
      let credit = 200_000
      await new Promise<void>((resolve, reject) => {
        const onPiece = (data: Uint8Array, last: boolean) => {
          got.push(Buffer.from(data))
          credit -= data.length
          assert.ok(credit >= 0, 'within its credit')
          if (last) return resolve()
          setImmediate(() => {
            credit += data.length
            outgoing.give(data.length)
          })
        }
        const start = async () => {
          const recent = files.recent(7)
          return recent
            ? new OutgoingPieces(recent, onPiece)
            : new OutgoingFile(await files.openToRead(7), whole.length, 0, onPiece, reject)
        }
        let outgoing: { give: (credit: number) => void; close: () => Promise<void> }
        void start().then((made) => {
          outgoing = made
          outgoing.give(200_000)
        })
      })
      assert.ok(Buffer.concat(got).equals(whole))
    })
  }

  it('says so when the file is shorter than its message', async () => {
    const files = await received(0)
    const handle = await files.openToRead(7)
    const trouble = await new Promise<unknown>((resolve) => {
      new OutgoingFile(handle, whole.length + 1, 0, () => undefined, resolve).give(whole.length * 2)
    })
    assert.match(String(trouble), /shorter than its message/)
    await handle.close()
  })
})

describe('recent content', () => {
  it('gives room back', () => {
    const recent = new RecentContent(10)
    recent.begin(1).add(Buffer.alloc(8))
    recent.begin(2).add(Buffer.alloc(8))
    assert.equal(recent.get(2), null)
    recent.drop(1)
    recent.begin(3).add(Buffer.alloc(8))
    assert.equal(recent.get(3)?.length, 1)
  })
})
