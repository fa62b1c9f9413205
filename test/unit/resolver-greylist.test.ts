/** Greylisting: the decision, what is remembered of it on disk, and what the administrator can do. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  decide,
  expiresAt,
  isKnown,
  senderKey,
  withOneMore,
} from '../../services/resolver/greylist/decision.ts'
import { Greylist } from '../../services/resolver/greylist/greylist.ts'
import { GreylistStore, loadSqlite } from '../../services/resolver/greylist/store.ts'
import { silentLog } from '../../shared/base/log.ts'

const MINUTE = 60_000
const terms = { delay: 5 * MINUTE, retryWithin: 100 * MINUTE, keep: 1000 * MINUTE, knownAfter: 2 }

test('who comes again in time passes, and stays known from mail to mail', () => {
  const first = decide(null, 1000, terms)
  assert.deepEqual([first.wait, first.isNew], [5 * MINUTE, false])
  const early = decide(first.memory, 1000 + 2 * MINUTE, terms)
  assert.equal(early.wait, 3 * MINUTE)
  const again = decide(early.memory, 1000 + 5 * MINUTE, terms)
  assert.deepEqual([again.wait, again.isNew, again.memory.passed], [0, true, 1])
  const later = decide(again.memory, again.memory.last + terms.keep, terms)
  assert.deepEqual([later.wait, later.isNew, later.memory.passed], [0, false, 2])
  assert.equal(decide(later.memory, later.memory.last + terms.keep + 1, terms).wait, terms.delay)
})

test('who comes too late is new, and so is who comes from the future', () => {
  const { memory } = decide(null, 0, terms)
  assert.equal(expiresAt(memory, terms), terms.retryWithin)
  assert.equal(decide(memory, terms.retryWithin, terms).wait, 0)
  const late = decide(memory, terms.retryWithin + 1, terms)
  assert.deepEqual([late.wait, late.memory.first], [terms.delay, terms.retryWithin + 1])
  assert.equal(decide({ first: 10 * MINUTE, last: 10 * MINUTE, passed: 0 }, 0, terms).wait, terms.delay)
})

test('a network is known by those that passed', () => {
  const one = withOneMore(null, 0, terms)
  assert.ok(!isKnown(one, 0, terms))
  const two = withOneMore(one, 1, terms)
  assert.ok(isKnown(two, 1, terms))
  assert.ok(!isKnown(two, 2 + terms.keep, terms))
  assert.ok(!isKnown(two, 1, { ...terms, knownAfter: 0 }))
  assert.equal(withOneMore(two, 2 + terms.keep, terms).passed, 1)
})

test('numbers in a sender are not who it is', () => {
  assert.equal(senderKey('Bounce-1234-x@List7.example'), 'bounce-#-x@list7.example')
  assert.equal(senderKey(''), '')
})

function withDirectory(t: { after: (done: () => void) => void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-greylist-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const from = (client: string, sender = 'a@x.example', recipient = 'b@y.example') => ({
  client,
  sender,
  recipient,
})

test('neighbours are one, others are not, and it is all there after a restart', async (t) => {
  const directory = withDirectory(t)
  let now = 0
  const slice = { directory, ...terms, entries: 1000 }
  const open = () => new Greylist(slice, silentLog, () => now)
  let greylist = open()
  assert.deepEqual(await greylist.ask(from('192.0.2.1')), { wait: 300, known: false })
  now += 6 * MINUTE
  greylist.close()
  greylist = open()
  assert.deepEqual(await greylist.ask(from('192.0.3.1')), { wait: 300, known: false })
  assert.deepEqual(await greylist.ask(from('192.0.2.200', 'A@x.example', 'B@Y.example')), {
    wait: 0,
    known: false,
  })
  assert.equal((await greylist.ask(from('2001:db8::1'))).wait, 300)
  now += 6 * MINUTE
  assert.equal((await greylist.ask(from('2001:db8::ffff:1'))).wait, 0)
  assert.equal((await greylist.ask(from('192.0.2.9', 'other@x.example'))).wait, 300)
  now += 6 * MINUTE
  assert.equal((await greylist.ask(from('192.0.2.9', 'other@x.example'))).wait, 0)
  assert.deepEqual(await greylist.ask(from('192.0.2.77', 'never@seen.example')), { wait: 0, known: true })
  greylist.close()
})

test('listed in pages, removed by whatever is meant, and all at once', async (t) => {
  const slice = { directory: withDirectory(t), ...terms, entries: 1000 }
  const greylist = new Greylist(slice, silentLog, () => 0)
  for (let n = 1; n <= 5; n++) await greylist.ask(from(`192.0.${n}.1`))
  await greylist.ask(from('192.0.2.1', '', 'c@y.example'))
  const seen: string[] = []
  let after = null
  do {
    const page = await greylist.act({ act: 'list', after, limit: 4 })
    seen.push(...page.entries.map(({ network, recipient }) => `${network} ${recipient}`))
    after = page.next
  } while (after)
  assert.equal(seen.length, 6)
  assert.equal(new Set(seen).size, 6)
  const remove = async (what: string) =>
    (await greylist.act({ act: 'remove', what, after: null, limit: 0 })).removed
  assert.equal(await remove('192.0.2.55'), 2)
  assert.equal(await remove('192.0.9.9'), 0)
  assert.equal(await remove('B@y.example'), 4)
  await greylist.ask(from('192.0.2.1'))
  assert.equal((await greylist.act({ act: 'flush', after: null, limit: 0 })).removed, 1)
  greylist.close()
})

test('bounded: what expired goes, then those that never came again', async () => {
  const store = new GreylistStore(await loadSqlite(), ':memory:', 100)
  const key = (n: number) => ({ network: `n${n}`, sender: 's', recipient: 'r' })
  for (let n = 0; n < 50; n++) store.put(key(n), { first: 0, last: 1, passed: 1 }, 9000, 0)
  for (let n = 50; n < 70; n++) store.put(key(n), { first: 0, last: 0, passed: 0 }, 10, 0)
  store.sweep(20)
  assert.equal(store.size, 50)
  for (let n = 100; n < 2100; n++) store.put(key(n), { first: 30, last: 30, passed: 0 }, 5000 + n, 30)
  assert.equal(store.size, 100)
  assert.ok(store.get(key(7)), 'who passed stays')
  assert.ok(store.get(key(2099)))
  assert.equal(store.get(key(101)), null)
  store.close()
})

test('a database that cannot be used puts nobody off', async (t) => {
  const directory = withDirectory(t)
  writeFileSync(
    join(directory, 'greylist.db'),
    'this is no database, and longer than its header would be'.repeat(9),
  )
  const broken = new Greylist({ directory, ...terms, entries: 100 }, silentLog)
  assert.deepEqual(await broken.ask(from('192.0.2.1')), { wait: 0, known: false })
  assert.deepEqual(await broken.act({ act: 'list', after: null, limit: 9 }), {
    entries: [],
    next: null,
    removed: 0,
  })
  broken.close()
  const newer = join(directory, 'newer')
  mkdirSync(newer)
  const sqlite = await loadSqlite()
  const database = new sqlite(join(newer, 'greylist.db'))
  database.pragma('user_version = 99')
  database.close()
  assert.throws(() => new GreylistStore(sqlite, join(newer, 'greylist.db'), 9), /newer Posthorn/)
})
