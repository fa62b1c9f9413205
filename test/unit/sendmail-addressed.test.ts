/** -t against servers that read the header themselves, that do not, and that take the command line away. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressedBy, failedIn, moreOf } from '../../commands/sendmail/addressed.ts'

const asked = {
  sender: 'ann@x.org',
  recipients: ['bob@y.org', 'cyd@y.org', 'Dan@Y.org'],
  size: 10,
  notify: null,
  header: { given: ['bob@y.org', 'Dan@y.org'], named: ['cyd@y.org', 'Dan@Y.org'], size: 20 },
}
const offers = (...keywords: string[]) =>
  new Map(keywords.map((one) => [one.split(' ')[0] ?? '', one.split(' ')[1] ?? ''] as const))
const ours = { byHeader: false, named: [], size: 10 }

test('a server that reads the header hears of the command line alone', () => {
  const byHeader = { recipients: asked.header.given, byHeader: true, named: asked.header.named, size: 20 }
  assert.deepEqual(addressedBy(asked, offers('RCPTHDR')), byHeader)
  assert.deepEqual(addressedBy(asked, offers('RCPTHDR REMOVE', 'DSN')), byHeader)
})

test('our own parser decides without the keyword, and without -t', () => {
  assert.deepEqual(addressedBy(asked, offers('DSN')), { ...ours, recipients: asked.recipients })
  const plain = { ...asked, header: null }
  assert.deepEqual(addressedBy(plain, offers('RCPTHDR')), { ...ours, recipients: asked.recipients })
})

test('it decides for the null sender and for -N, and takes away where the server would', () => {
  for (const change of [{ sender: '' }, { notify: 'NEVER' }]) {
    const one = { ...asked, ...change }
    assert.deepEqual(addressedBy(one, offers('RCPTHDR', 'DSN')), { ...ours, recipients: asked.recipients })
    const { recipients, byHeader } = addressedBy(one, offers('RCPTHDR remove', 'DSN'))
    assert.deepEqual([recipients, byHeader], [['cyd@y.org'], false])
  }
  // where NOTIFY cannot be said anyway, the server reads the header
  assert.equal(addressedBy({ ...asked, notify: 'NEVER' }, offers('RCPTHDR')).byHeader, true)
})

test('the lines of the reply: who is refused; who is put off only where all are', () => {
  const text =
    'x\n<a@y> refused: 550 5.1.1 no such user\n<b@y> later: 451 4.2.1 busy\n<c@y> taken: 250 ok\n<d refused: 550 x'
  const failed = (code: number) =>
    failedIn({ code, enhanced: '', text }).map(({ recipient, reply }) => [
      recipient,
      reply.code,
      reply.enhanced,
    ])
  assert.deepEqual(failed(250), [['a@y', 550, '5.1.1']])
  assert.deepEqual(failed(451), [
    ['a@y', 550, '5.1.1'],
    ['b@y', 451, '4.2.1'],
  ])
})

test('what had no place in the reply is told of when it may be a refusal', () => {
  const more = (...lines: string[]) => moreOf({ code: 250, enhanced: '', text: lines.join('\n') })
  assert.deepEqual(more('x', '<a@y> refused: 550 no', 'and 3 more'), ['and 3 more'])
  assert.deepEqual(more('x', '<a@y> refused: 550 no', '<b@y> taken: 250 ok', 'and 3 more'), [])
  assert.deepEqual(more('x', '<a@y> refused: 550 no'), [])
})
