/** Who may have a session, who waits for one, whose account it goes on, and which destinations are full. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Backlog, type Counted } from '../../services/qmgr/backlog.ts'
import { ClientLimits, OF_MAIL } from '../../services/qmgr/client-limits.ts'
import type { Load } from '../../services/qmgr/load.ts'
import { Sessions } from '../../services/qmgr/sessions.ts'
import { silentLog } from '../../shared/base/log.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import { networkOf } from '../../shared/config/network.ts'
import type { LimitsSlice, LoadSlice, Quota } from '../../shared/config/slices.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import { usualLoad } from '../support/usual-load.ts'

const timeout = 60_000
const HOUR = 3_600_000
const per = (measure: Quota['measure'], count: number, period: number | null = HOUR): Quota => {
  return { measure, count, period }
}
const limits = (change: Partial<LimitsSlice>): LimitsSlice => {
  return { ...usualLoad.limits, client: [], ...change }
}
const amounts = { connections: 0, messages: 1, recipients: 3, octets: 100, refusals: 0 }

describe('limits of clients', { timeout }, () => {
  it('knows accounts by address, network, uid and user, where they are limited and not exempt', () => {
    const all = [per('messages', 9)]
    const table = new ClientLimits(() => limits({ client: all, network: all, uid: all, user: all }))
    const names = (origin: { client: string; uid?: number; user?: string }) =>
      table.accountsOf(origin, 0).map(({ scope, name }) => `${scope} ${name}`)
    assert.deepEqual(names({ client: '192.0.2.77' }), ['client 192.0.2.77', 'network 192.0.2.0/24'])
    assert.deepEqual(names({ client: '192.0.2.77', user: 'ann' }).at(-1), 'user ann')
    assert.deepEqual(names({ client: '127.0.0.1' }), [])
    assert.deepEqual(names({ client: '', uid: 1000 }), ['uid 1000'])
    assert.deepEqual(names({ client: '', uid: 0 }), [], 'root is exempt')
    assert.deepEqual(names({ client: '' }), ['uid -'], 'all that the kernel does not name together')
    assert.equal(networkOf('2001:db8:1:2:3::4'), '2001:db8:1:2::/64')
    assert.equal(networkOf('nonsense'), 'nonsense')
    const none = new ClientLimits(() => limits({}))
    assert.deepEqual(none.accountsOf({ client: '192.0.2.1' }, 0), [])
  })

  it('counts by policy in place of the uid, each of its users alone, unless it has no limits', () => {
    const table = new ClientLimits(() =>
      limits({ uid: [per('messages', 9)], policies: { web: [per('messages', 1)] } }),
    )
    const names = (origin: { client: string; uid?: number; user?: string; policy?: string }) =>
      table.accountsOf(origin, 0).map(({ scope, name }) => `${scope} ${name}`)
    assert.deepEqual(names({ client: '', uid: 33, policy: 'web' }), ['policy web 33'])
    assert.deepEqual(names({ client: '', uid: 33, policy: 'other' }), ['uid 33'])
    assert.deepEqual(names({ client: '', uid: 33, policy: 'toString' }), ['uid 33'])
    assert.deepEqual(names({ client: '', uid: 33, policy: 'web', user: 'team' }), ['policy web team'])
    assert.deepEqual(names({ client: '127.0.0.1', user: 'ann', policy: 'web' }), ['policy web ann'])
    const of = (uid: number) => table.accountsOf({ client: '', uid, policy: 'web' }, 0)
    table.charge(of(33), amounts, 0)
    assert.equal(table.overrun(of(33), OF_MAIL, 0)?.account.scope, 'policy')
    assert.equal(table.overrun(of(34), OF_MAIL, 0), null)
  })

  it('keeps connections at one time and in a time', () => {
    const table = new ClientLimits(() =>
      limits({ client: [per('connections', 2, null), per('connections', 3)] }),
    )
    const account = table.accountsOf({ client: '192.0.2.1' }, 0)
    assert.deepEqual([table.open(account, 0), table.open(account, 0)], [null, null])
    assert.deepEqual(table.open(account, 0)?.until, null)
    table.close(account)
    assert.equal(table.open(account, 0), null)
    table.close(account)
    const over = table.open(account, 0)
    assert.ok(over?.until && over.until > HOUR, 'three in an hour')
    assert.equal(table.overrun(account, OF_MAIL, 0), null, 'mail on the open ones is another matter')
    assert.equal(table.open(account, over.until), null)
  })

  it('lets the message pass that reaches a limit, and the next one when there is room again', () => {
    const table = new ClientLimits(() => limits({ network: [per('recipients', 2), per('octets', 1000)] }))
    const one = table.accountsOf({ client: '192.0.2.1' }, 0)
    const other = table.accountsOf({ client: '192.0.2.2' }, 0)
    assert.equal(table.overrun(one, OF_MAIL, 0), null)
    table.charge(one, amounts, 0)
    const over = table.overrun(other, OF_MAIL, 0)
    assert.equal(over?.measure, 'recipients', 'the neighbour shares it')
    assert.equal(table.overrun(other, OF_MAIL, over.until ?? 0), null)
  })

  it('keeps counts over a reload that leaves their limit alone', () => {
    let slice = limits({ client: [per('messages', 1)] })
    const table = new ClientLimits(() => slice)
    table.charge(table.accountsOf({ client: '192.0.2.1' }, 0), amounts, 0)
    slice = limits({ client: [per('octets', 5000), per('messages', 1)] })
    assert.equal(table.overrun(table.accountsOf({ client: '192.0.2.1' }, 0), OF_MAIL, 0)?.measure, 'messages')
    slice = limits({ client: [per('messages', 2)] })
    assert.equal(table.overrun(table.accountsOf({ client: '192.0.2.1' }, 0), OF_MAIL, 0), null)
  })

  it('forgets who was not seen for longest, and nobody who is here', () => {
    const table = new ClientLimits(() => limits({ client: [per('messages', 1)], tableSize: 100 }))
    const here = table.accountsOf({ client: '10.0.0.0' }, 0)
    table.open(here, 0)
    table.charge(here, amounts, 0)
    for (let n = 0; n < 5000; n++)
      table.charge(table.accountsOf({ client: `10.1.${n >> 8}.${n & 255}` }, 0), amounts, 0)
    assert.equal(table.size, 100)
    assert.equal(table.accountsOf({ client: '10.0.0.0' }, 0)[0], here[0])
    assert.ok(
      table.overrun(table.accountsOf({ client: '10.1.19.135' }, 0), OF_MAIL, 0),
      'a late one is known',
    )
    assert.equal(
      table.overrun(table.accountsOf({ client: '10.1.0.1' }, 0), OF_MAIL, 0),
      null,
      'an early one not',
    )
  })
})

class Stage {
  now = 1000
  load: Load = { intake: 'go', reason: '' }
  readonly peer = {} as Peer
  readonly sessions: Sessions
  readonly answers = new Map<string, Answer<'session-open'>>()
  #next = 0
  constructor(sessionLimit: number, change: Partial<LoadSlice> = {}) {
    const slice = { sessionLimit, load: { ...usualLoad, ...change } }
    this.sessions = new Sessions({
      slice: () => slice,
      load: () => this.load,
      log: silentLog,
      now: () => this.now,
    })
  }
  /** What is said at once: go, the code of a refusal, or that it waits. */
  open(client: string, more: { uid?: number; peer?: Peer } = {}): string {
    const session = `S${this.#next++}`
    const { peer = this.peer, ...who } = more
    const answer = this.sessions.open({ session, listener: 'x', client, ...who }, peer)
    if (!(answer instanceof Promise))
      return answer.kind === 'go' ? 'go' : `${answer.reply.code} ${answer.reply.enhanced}`
    void answer.then((said) => this.answers.set(session, said))
    return `${session} waits`
  }
  many(count: number, client: string): string[] {
    return Array.from({ length: count }, () => this.open(client))
  }
  async said(session: string): Promise<string> {
    await new Promise((done) => setImmediate(done))
    const answer = this.answers.get(session)
    return answer?.kind === 'refused' ? answer.reply.text : (answer?.kind ?? 'nothing')
  }
}

const all = { wait: 1, refuse: 1, relief: 1 }
const atOnce = { throttle: { ...usualLoad.throttle, sessions: all } }
const STRANGER = '192.0.2.1'
const noLimits = { limits: limits({}) }

describe('sessions', { timeout }, () => {
  it('are kept for local programs and for the network', () => {
    const stage = new Stage(20, { ...atOnce, ...noLimits, localReserve: 0.1, remoteReserve: 0.2 })
    assert.deepEqual(stage.many(18, STRANGER), Array(18).fill('go'))
    assert.equal(stage.open(STRANGER), '421 4.3.2')
    assert.deepEqual(stage.many(3, ''), ['go', 'go', '421 4.3.2'])
    const other = new Stage(20, { ...atOnce, ...noLimits, localReserve: 0.1, remoteReserve: 0.2 })
    assert.deepEqual(other.many(16, ''), Array(16).fill('go'))
    assert.equal(other.open(''), '421 4.3.2')
    assert.deepEqual(other.many(5, STRANGER), ['go', 'go', 'go', 'go', '421 4.3.2'])
  })

  it('count as their user from the login on', () => {
    const user = [per('connections', 2, null), per('messages', 1)]
    const stage = new Stage(20, { limits: limits({ user, uid: [] }) })
    const { sessions, peer } = stage
    const login = (session: string, name: string) => {
      const said = sessions.open({ session, listener: 'x', client: STRANGER, user: name }, peer)
      return said instanceof Promise ? 'waits' : said.kind === 'go' ? 'go' : said.reply.text
    }
    assert.deepEqual(stage.many(4, STRANGER), Array(4).fill('go'))
    assert.deepEqual([login('S0', 'ann'), login('S1', 'ann')], ['go', 'go'])
    assert.equal(login('S2', 'ann'), 'too many connections from you, try again later')
    assert.equal(login('S2', 'ben'), 'go')
    sessions.close({ session: 'S0' })
    assert.equal(login('S3', 'ann'), 'go', 'the place is free')
    const origin = { session: 'S3', client: STRANGER, user: 'ann' }
    const envelope = { origin, recipients: [{}], size: 9 } as unknown as Envelope
    assert.equal(sessions.charge(envelope).refusal, null)
    sessions.close({ session: 'S1' })
    stage.open(STRANGER)
    assert.equal(login('S4', 'ann'), 'too many messages from you, try again later')
    for (const session of ['S2', 'S3', 'S4']) sessions.close({ session })
    stage.now += 2 * HOUR
    stage.many(3, STRANGER)
    assert.deepEqual([login('S5', 'ann'), login('S6', 'ann')], ['go', 'go'], 'all were given back')
  })

  it('wait near the limit until others leave, in their order', async () => {
    const stage = new Stage(20, { ...noLimits, localReserve: 0, remoteReserve: 0 })
    assert.deepEqual(stage.many(18, STRANGER), Array(18).fill('go'))
    assert.deepEqual(stage.many(3, STRANGER), ['S18 waits', 'S19 waits', '421 4.3.2'])
    assert.deepEqual([stage.sessions.total, stage.sessions.waiting], [20, 2])
    stage.sessions.close({ session: 'S3' })
    assert.deepEqual([await stage.said('S18'), await stage.said('S19')], ['go', 'nothing'])
    stage.now += 30_000
    stage.sessions.look()
    assert.match(await stage.said('S19'), /too busy, try again later \(sessions\)/)
    assert.deepEqual([stage.sessions.total, stage.sessions.waiting], [18, 0])
  })

  it('wait while a resource is short, but for local programs within what is theirs', async () => {
    const stage = new Stage(100, { ...noLimits, localReserve: 0.02, remoteReserve: 0.5 })
    stage.load = { intake: 'wait', reason: 'memory' }
    assert.equal(stage.open(STRANGER), 'S0 waits')
    assert.deepEqual(stage.many(3, ''), ['go', 'go', 'S3 waits'])
    stage.now += 1000
    assert.equal(stage.open(STRANGER), 'S4 waits')
    stage.now += 29_000
    stage.sessions.look()
    assert.match(await stage.said('S0'), /too busy.*memory/)
    assert.equal(await stage.said('S4'), 'nothing')
    stage.load = { intake: 'go', reason: '' }
    stage.sessions.look()
    assert.equal(await stage.said('S4'), 'go')
    assert.deepEqual([stage.sessions.total, stage.sessions.local, stage.sessions.waiting], [3, 2, 0])
    stage.load = { intake: 'refuse', reason: 'memory' }
    assert.equal(stage.open(STRANGER), 'go', 'refused at MAIL, which is quicker for both')
  })

  it('are not let in all at once after a shortage', () => {
    const stage = new Stage(1000, { ...noLimits, localReserve: 0, remoteReserve: 0 })
    stage.load = { intake: 'wait', reason: 'lag smtpc' }
    stage.many(250, STRANGER)
    stage.load = { intake: 'go', reason: '' }
    const waiting = [1, 2, 3].map(() => {
      stage.sessions.look()
      return stage.sessions.waiting
    })
    assert.deepEqual(waiting, [150, 50, 0])
  })

  it('go with their client and with their smtpd, waiting or not', async () => {
    const stage = new Stage(100, { limits: limits({ client: [per('connections', 2, null)] }) })
    const dead = {} as Peer
    assert.deepEqual([stage.open(STRANGER), stage.open(STRANGER, { peer: dead })], ['go', 'go'])
    assert.equal(stage.open(STRANGER), '421 4.7.0')
    stage.sessions.peerLeft(dead)
    stage.load = { intake: 'wait', reason: 'memory' }
    assert.equal(stage.open(STRANGER), 'S3 waits')
    stage.sessions.close({ session: 'S3' })
    stage.sessions.close({ session: 'S3' })
    assert.match(await stage.said('S3'), /gone/)
    stage.load = { intake: 'go', reason: '' }
    assert.equal(stage.open(STRANGER), 'go')
    assert.deepEqual([stage.sessions.total, stage.sessions.waiting, stage.sessions.limited], [2, 0, 1])
  })

  it('have their mail on the account of their client', () => {
    const stage = new Stage(100, {
      limits: limits({ client: [per('messages', 2)], user: [per('messages', 1)] }),
    })
    const mail = (origin: Partial<Envelope['origin']>) =>
      stage.sessions.charge({
        ...{ id: 1, sender: '', recipients: [], size: 5, body: '7bit', smtputf8: false, receivedAt: 0 },
        origin: { listener: 'x', session: 'S0', client: STRANGER, ...origin },
      })
    stage.open(STRANGER)
    assert.deepEqual(mail({}), { refusal: null, brake: 0 })
    const last = mail({})
    assert.equal(last.refusal, null)
    assert.ok(last.brake > stage.now, 'MAIL is refused from now on')
    const { refusal } = mail({})
    assert.deepEqual([refusal?.code, refusal?.enhanced], [450, '4.7.1'])
    assert.equal(mail({ session: 'from before a restart' }).refusal?.code, 450)
    assert.equal(stage.open(STRANGER), '421 4.7.0')
    assert.equal(mail({ client: '192.0.2.9', user: 'ann', session: '' }).refusal, null)
    assert.equal(mail({ client: '192.0.2.10', user: 'ann', session: '' }).refusal?.code, 450)
    assert.deepEqual(mail({ client: '127.0.0.1', session: '' }), { refusal: null, brake: 0 })
  })
})

describe('the backlog of a destination', { timeout }, () => {
  const stageOf = (limit: number) => {
    const news: string[] = []
    const backlog = new Backlog({
      limit: () => limit,
      onChange: (full, relieved) =>
        news.push(...full.map((one) => `+${one}`), ...relieved.map((one) => `-${one}`)),
    })
    const slots = (count: number): Counted[] => Array.from({ length: count }, () => ({ destination: '' }))
    return { backlog, news, slots }
  }

  it('is told when it is full and when a tenth is free again', () => {
    const { backlog, news, slots } = stageOf(20)
    const all = slots(25)
    for (const slot of all) backlog.move(slot, 'x')
    assert.deepEqual([news, backlog.full, backlog.count('x')], [['+x'], ['x'], 25])
    const leave = (count: number) => {
      for (const slot of all.splice(0, count)) backlog.move(slot, '')
    }
    leave(6)
    assert.deepEqual(news, ['+x'])
    leave(1)
    assert.deepEqual([news, backlog.full], [['+x', '-x'], []])
    const [one] = all
    if (one) backlog.move(one, 'y')
    assert.deepEqual([backlog.count('x'), backlog.count('y')], [17, 1])
  })

  it('is counted anew with the store, whatever happens meanwhile', async () => {
    const { backlog, news, slots } = stageOf(20)
    const [first, second, third] = slots(3)
    assert.ok(first && second && third)
    for (const slot of [first, second]) backlog.move(slot, 'x')
    const taken = { destination: 'y', filedUnder: 'x' } // its row says x still
    let answer: (counts: { destination: string; recipients: number }[]) => void = () => undefined
    const stored = new Promise<{ destination: string; recipients: number }[]>((done) => {
      answer = done
    })
    const active = [first, second].map(({ destination }) => ({ destination, filedUnder: null }))
    const done = backlog.recount([...active, taken], () => stored)
    backlog.move(first, '')
    backlog.move(third, 'z')
    answer([
      { destination: 'x', recipients: 30 },
      { destination: '', recipients: 5 },
    ])
    await done
    assert.deepEqual([backlog.count('x'), backlog.count('y'), backlog.count('z')], [30, 1, 1])
    assert.deepEqual(news, ['+x'])
    await backlog.recount([], () => Promise.resolve([]))
    assert.deepEqual([backlog.count('x'), news.at(-1)], [0, '-x'])
  })
})
