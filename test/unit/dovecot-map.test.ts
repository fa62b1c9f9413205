/** What Dovecot says of a user, by its protocol for lookups: in any pieces, with everything that may go wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readUserAnswer, readUserReply } from '../../services/resolver/maps/dovecot-map.ts'

const GREETING = 'VERSION\t1\t1\nSPID\t77\n'

test('the greeting is passed over, and the answer waited for, in any pieces', () => {
  const line = 'USER\t1\tann@a.example\tuid=5000\tgid=5000\thome=/srv/mail/ann'
  const whole = Buffer.from(`${GREETING}${line}\n`)
  for (let end = 0; end < whole.length; end++) assert.equal(readUserReply(whole.subarray(0, end)), null)
  assert.equal(readUserReply(whole), line)
})

test('found, with the home or without; unknown; trouble', () => {
  const answers: [line: string, value: string][] = [
    ['USER\t1\tann@a.example\tuid=5000\thome=/srv/mail/ann', '/srv/mail/ann'],
    ['USER\t1\thome=/not/this', ''],
    ['USER\t1\tann@a.example\thome=/srv/a\x01tb\x011c', '/srv/a\tb\x01c'],
  ]
  for (const [line, value] of answers) assert.deepEqual(readUserAnswer(line), { kind: 'found', value })
  assert.deepEqual(readUserAnswer('NOTFOUND\t1'), { kind: 'missing' })
  for (const bad of ['FAIL\t1\treason=database', 'FAIL\t1', 'USER\t2\tann@a.example', 'NOTFOUND\t2', 'USER'])
    assert.equal(readUserAnswer(bad).kind, 'trouble', bad)
})

test('another protocol, and an answer without an end, are no answers', () => {
  assert.throws(() => readUserReply(Buffer.from('VERSION\t2\t0\n')), /another protocol/)
  assert.throws(() => readUserReply(Buffer.alloc(70_000, 'x')), /too long/)
})
