/** What smtpd remembers of the resolver's answers, and for how long. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Answers } from '../../services/smtpd/answers.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import type { Route } from '../../shared/message/route.ts'

const route: Route = { kind: 'smtp', zone: '.', destination: 'x', protocol: 'smtp', hosts: [] }

function found(
  address: string,
  more: Partial<Extract<Answer<'resolve'>, { kind: 'found' }>> = {},
): Answer<'resolve'> {
  return { kind: 'found', class: 'remote', zone: '.', targets: [{ address, route }], ...more }
}

test('an answer holds for its address and its rights, for two seconds', () => {
  let now = 0
  const answers = new Answers(() => now)
  const asked = { address: 'a@x', mayRelay: true }
  answers.put(asked, found('a@x'))
  assert.deepEqual(answers.get(asked), found('a@x'))
  assert.equal(answers.get({ address: 'b@x', mayRelay: true }), null)
  assert.equal(answers.get({ address: 'a@x', mayRelay: false }), null)
  assert.equal(answers.get({ ...asked, expanded: true }), null)
  now = 2000
  assert.equal(answers.get(asked), null)
})

test('where the local part makes no difference it holds for the domain', () => {
  const answers = new Answers(() => 0)
  answers.put({ address: '"a@b"@x' }, found('"a@b"@x', { wholeDomain: true }))
  const other = answers.get({ address: 'c@x' })
  assert.deepEqual(other?.targets, [{ address: 'c@x', route }])
  assert.equal(answers.get({ address: 'c@b"@x.y' }), null)
})

test('refusals, delays and targets without a route are not remembered', () => {
  const answers = new Answers(() => 0)
  const reply = { code: 550, enhanced: '5.1.1', text: '', host: '' }
  for (const answer of [
    { kind: 'refused', reply },
    { kind: 'later', reply },
    found('a@x', { targets: [{ address: 'a@x' }] }),
  ] satisfies Answer<'resolve'>[]) {
    answers.put({ address: 'a@x' }, answer)
    assert.equal(answers.get({ address: 'a@x' }), null)
  }
})

test('it is bounded, and forgets all when told to', () => {
  const answers = new Answers(() => 0)
  for (let n = 0; n <= 10_000; n++) answers.put({ address: `${n}@x` }, found(`${n}@x`))
  assert.equal(answers.get({ address: '0@x' }), null)
  assert.ok(answers.get({ address: '1@x' }))
  answers.clear()
  assert.equal(answers.get({ address: '1@x' }), null)
})
