/** Whose mail is offered to their own agent, and whose never is. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Entry, freshEntry } from '../../services/qmgr/entry.ts'
import { UserAgents } from '../../services/qmgr/user-agents.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { Route } from '../../shared/message/route.ts'

const MINUTE = 60_000
const out: Route = { kind: 'smtp', zone: '.', destination: 'mx.example', protocol: 'smtp', hosts: [] }
const byAgent: Route = { kind: 'agent', zone: '.', destination: 'agent:1000', uid: 1000 }

function entryOf(changes: Partial<Envelope> = {}): Entry {
  const envelope: Envelope = {
    id: 1,
    sender: 'ann@here.example',
    recipients: [{ address: 'bob@example.net', route: out }],
    size: 3,
    body: '7bit',
    smtputf8: false,
    receivedAt: 0,
    origin: { listener: 'local', session: 'S1', client: '', uid: 1000 },
    ...changes,
  }
  return freshEntry(envelope, new Uint8Array(3))
}

class Site {
  now = 0
  onlyUid: number | null = null
  readonly agents = new UserAgents({
    slice: () => ({
      userAgents: { listeners: ['local'], zones: ['.'], minimumUid: 1000, onlyUid: this.onlyUid },
    }),
    now: () => this.now,
  })
}

describe('the way by an agent', () => {
  it('is taken by mail that a user handed in and that leaves the machine', () => {
    assert.deepEqual(new Site().agents.insteadOf(out, entryOf()), byAgent)
  })

  const origin = { listener: 'local', session: 'S1', client: '', uid: 1000 }
  const never: readonly (readonly [string, Partial<Envelope>, Route])[] = [
    ['a report', { sender: '' }, out],
    ['mail of nobody in particular', { origin: { listener: 'local', session: 'S1', client: '' } }, out],
    ['mail of a system account', { origin: { ...origin, uid: 33 } }, out],
    ['mail of root', { origin: { ...origin, uid: 0 } }, out],
    ['mail by another listener', { origin: { ...origin, listener: 'quiet' } }, out],
    ['binary mail', { body: 'binarymime' }, out],
    ['mail with REQUIRETLS', { requireTls: true }, out],
    [
      'mail that is to come back when it is late',
      { deliverBy: { at: 9, mode: 'return', trace: false } },
      out,
    ],
    ['mail to a host of the house', {}, { ...out, zone: 'inside.example' }],
    ['mail that has been led there already', {}, byAgent],
  ]
  for (const [what, changes, route] of never) {
    it(`is not for ${what}`, () => {
      assert.equal(new Site().agents.insteadOf(route, entryOf(changes)), null)
    })
  }

  it('is for the caller alone where everything runs as its caller', () => {
    const site = new Site()
    site.onlyUid = 33
    assert.equal(site.agents.insteadOf(out, entryOf()), null)
    const own = entryOf({ origin: { ...origin, uid: 33 } })
    assert.equal(site.agents.insteadOf(out, own)?.destination, 'agent:33')
  })

  it('is forgotten for a minute where nobody listens', () => {
    const site = new Site()
    site.agents.missed(1000)
    assert.equal(site.agents.insteadOf(out, entryOf()), null)
    const other = entryOf({ origin: { ...origin, uid: 1001 } })
    assert.equal(site.agents.insteadOf(out, other)?.destination, 'agent:1001')
    site.now = MINUTE
    assert.deepEqual(site.agents.insteadOf(out, entryOf()), byAgent)
  })

  it('is not offered twice to a message that no account is for', () => {
    const site = new Site()
    const entry = entryOf()
    site.agents.declined(entry)
    assert.equal(site.agents.insteadOf(out, entry), null)
    assert.deepEqual(site.agents.insteadOf(out, entryOf()), byAgent)
  })

  it('is asked for again by everybody rather than remembered without bound', () => {
    const site = new Site()
    for (let uid = 1000; uid < 11_001; uid++) site.agents.missed(uid)
    assert.deepEqual(site.agents.insteadOf(out, entryOf()), byAgent)
  })
})
