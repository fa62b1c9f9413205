/**
 * What the stub remembers: for how long, how much, and what of it outlives its time; and in which order it asks.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Answer } from '../../services/resolver/dns/answer.ts'
import { AnswerCache } from '../../services/resolver/dns/answer-cache.ts'
import { mixCase } from '../../services/resolver/dns/mixed-case.ts'
import { patienceIn, Ranking } from '../../services/resolver/dns/ranking.ts'

const address = { kind: 'address', name: 'a.test', ttl: 100, type: 'A', address: '192.0.2.1' } as const
const found: Answer = { kind: 'records', records: [address], ttl: 100, secure: true }
const absent: Answer = { kind: 'nodata', ttl: 100, secure: true }
const text = (length: number): Answer => {
  const record = { kind: 'txt', name: 't.test', ttl: 9, text: 'x'.repeat(length) } as const
  return { kind: 'records', records: [record], ttl: 9, secure: false }
}
const open = (limits: { entries?: number; octets?: number } = {}) =>
  new AnswerCache({ entries: 100, octets: 1 << 20, ...limits })
const DAY = 86_400_000

test('an answer counts for its time', () => {
  const cache = open()
  cache.set('a', found, 100, 0)
  assert.equal(cache.get('a', 99_999), found)
  assert.equal(cache.get('a', 100_000), undefined)
})

test('records live a second time for a day, in pieces of 30 seconds, and still proven', () => {
  const cache = open()
  cache.set('a', found, 100, 0)
  const again = cache.revive('a', 200_000)
  assert.deepEqual(again, { ...found, ttl: 30 })
  assert.equal(cache.get('a', 229_999), again)
  assert.equal(cache.get('a', 230_000), undefined)
  assert.ok(cache.revive('a', 100_000 + DAY - 1))
  assert.equal(
    cache.get('a', 100_000 + DAY),
    undefined,
    'no longer than a day, however often it is asked for',
  )
  assert.equal(cache.revive('a', 100_000 + DAY), undefined)
})

test('absence and failure have no second life', () => {
  const cache = open()
  cache.set('a', absent, 100, 0)
  cache.set('b', { kind: 'failed', why: '', ttl: 0, trouble: 'silent' }, 5, 0)
  assert.equal(cache.revive('a', 100_000), undefined)
  assert.equal(cache.revive('b', 5000), undefined)
})

test('bounded by entries: what was used longest ago goes', () => {
  const cache = open({ entries: 2 })
  cache.set('a', found, 100, 0)
  cache.set('b', found, 100, 0)
  cache.get('a', 1)
  cache.set('c', found, 100, 2)
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => cache.get(key, 3) !== undefined),
    [true, false, true],
  )
})

test('bounded by octets, and the count comes back to nothing', () => {
  const cache = open({ octets: 100_000 })
  for (let n = 0; n < 1000; n++) {
    cache.set(`${n}`, text(5000), 100, n)
    assert.ok(cache.octets <= 100_000, `${cache.octets}`)
  }
  assert.ok(cache.size > 10 && cache.size < 20, `${cache.size}`)
  assert.ok(cache.get('999', 1000))
  cache.set('999', absent, 100, 1000)
  for (let n = 0; n < 1000; n++) cache.delete(`${n}`)
  assert.deepEqual([cache.octets, cache.size], [0, 0])
  cache.set('huge', text(200_000), 100, 0)
  assert.ok(cache.get('huge', 1), 'the last one stays, whatever its size')
})

const [one, two] = [1, 2].map((n) => ({ address: `192.0.2.${n}`, port: 53, trusted: false }))

test('servers are asked in order; who fails comes last, twice as long each time', () => {
  assert.ok(one && two)
  const ranking = new Ranking()
  const first = (now: number) => ranking.order([one, two], now)[0]
  assert.equal(first(0), one)
  ranking.failed(one, 0)
  ranking.failed(one, 1)
  assert.deepEqual([first(4999), first(5000)], [two, one], 'what fails together counts once')
  ranking.failed(one, 5000)
  assert.deepEqual([first(14_999), first(15_000)], [two, one])
  for (let now = 15_000; now < 1e7; now += 200_000) ranking.failed(one, now)
  ranking.failed(one, 2e7)
  assert.deepEqual([first(2e7 + 159_999), first(2e7 + 160_000)], [two, one], 'no longer than that')
  ranking.failed(one, 3e7)
  ranking.answered(one)
  assert.equal(first(3e7), one)
  ranking.failed(one, 4e7)
  ranking.failed(two, 4e7)
  assert.deepEqual(ranking.order([one, two], 4e7), [one, two], 'nobody else is there')
})

test('tries get longer, within the patience of who asks', () => {
  const total = (servers: number, attempts: number) =>
    Array.from({ length: attempts }, (_, n) => patienceIn(n, 5000, servers) * servers).reduce((a, b) => a + b)
  assert.deepEqual(
    [0, 1, 2].map((round) => patienceIn(round, 5000, 1)),
    [5000, 10_000, 20_000],
  )
  assert.deepEqual(
    [0, 1, 2].map((round) => patienceIn(round, 5000, 3)),
    [5000, 5000, 20_000 / 3],
  )
  assert.equal(total(1, 2), 15_000)
})

test('names go out in letters of random case, and nothing else is changed', () => {
  const name = 'abcdefghijklmnopqrstuvwxyz-0123456789._tcp.example'
  const mixed = Array.from({ length: 20 }, () => mixCase(name))
  for (const other of mixed) assert.equal(other.toLowerCase(), name)
  assert.ok(new Set(mixed).size > 18)
})
