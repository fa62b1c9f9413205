/**
 * smtpc as a real process, between a qmgr that the test plays and hosts that behave, misbehave, hang and vanish.
 */
import assert from 'node:assert/strict'
import test, { after, before, type TestContext } from 'node:test'
import { CONTENT_CHUNK, CONTENT_WINDOW } from '../../shared/bus/messages.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { until } from '../support/wait.ts'
import { makeRig, playHub, type Rig, startWorker, type TestWorker } from '../support/worker.ts'
import { deliveryBy, print, SLICE } from './smtpc-client.ts'
import { type FarmAnswer, goodAnswer, openFarmHost } from './smtpc-farm.ts'

const HASTY: SmtpcSlice = {
  ...SLICE,
  timeouts: {
    connect: 1000,
    greeting: 1000,
    helo: 1000,
    mail: 1000,
    rcpt: 1000,
    dataInitiation: 1000,
    dataBlock: 1000,
    dataTermination: 1000,
    quit: 1000,
  },
}

interface Client {
  worker: TestWorker
  qmgr: Peer
  credits: number[]
  /** `attempt` as it looks for a connection, `attempt begun` when it has one. */
  dials: string[]
  close: () => Promise<void>
}

async function startClient(slice: SmtpcSlice): Promise<Client> {
  const rig: Rig = makeRig()
  const credits: number[] = []
  const dials: string[] = []
  const { hub, joined } = await playHub('qmgr', rig.buses.qmgr, {
    'content-credit': ({ octets }) => void credits.push(octets),
    'deliver-dial': ({ attempt, begun }) => void dials.push(`${attempt}${begun ? ' begun' : ''}`),
  })
  const worker = await startWorker('smtpc', slice, rig)
  return {
    worker,
    qmgr: await joined(),
    credits,
    dials,
    close: async () => {
      assert.equal(await worker.drain(), 0, worker.output())
      hub.close()
      rig.close()
    },
  }
}

let client: Client
let hasty: Client
before(async () => {
  client = await startClient(SLICE)
  hasty = await startClient(HASTY)
})
after(async () => {
  await client.close()
  await hasty.close()
})

async function sinkFor(t: TestContext, ...rest: Parameters<typeof openSink>): Promise<Sink> {
  const sink = await openSink(...rest)
  t.after(() => sink.close())
  return sink
}

async function farmFor(t: TestContext, answer: FarmAnswer) {
  const host = await openFarmHost(answer)
  t.after(() => host.close())
  return host
}

const PATIENCE = { timeout: 60_000 }

test('one connection carries many transactions, byte for byte', PATIENCE, async (t) => {
  const sink = await sinkFor(t)
  const contents = [
    '.\r\n',
    '..a\r\n.b',
    '',
    'x'.repeat(3000),
    '\r\n.\r\n',
    'ä\u0000\r\n',
    `${'l\r\n'.repeat(40_000)}`,
  ]
  for (const text of contents) {
    const content = Buffer.from(text)
    const answer = await client.qmgr.request('deliver', deliveryBy([sink.port], ['a@x', 'b@x'], { content }))
    assert.deepEqual(print(answer), ['sent 250', 'sent 250'])
    assert.deepEqual([answer.host, answer.address, answer.tls], ['127.0.0.1', '127.0.0.1', ''])
  }
  assert.equal(sink.connections(), 1)
  const arrived = sink.mails.map((mail) => mail.content.toString())
  const closed = (text: string) => (text === '' || text.endsWith('\r\n') ? text : `${text}\r\n`)
  assert.deepEqual(arrived, contents.map(closed))
})

test('qmgr hears of an attempt that looks for a connection, and when it has one', PATIENCE, async (t) => {
  const sink = await sinkFor(t)
  const heard = async (ports: number[]) => {
    const from = client.dials.length
    const delivery = deliveryBy(ports, ['a@x'])
    const answer = print(await client.qmgr.request('deliver', delivery))
    const name = new RegExp(`^${delivery.attempt}\\b`)
    return [...client.dials.slice(from).map((line) => line.replace(name, 'it')), ...answer]
  }
  assert.deepEqual(await heard([sink.port]), ['it', 'it begun', 'sent 250'])
  assert.deepEqual(await heard([sink.port]), ['sent 250'], 'a kept connection')
  const closed = await openSink()
  await closed.close()
  assert.deepEqual(await heard([closed.port]), ['it', 'later 451 destination'])
  assert.deepEqual(await heard([closed.port, sink.port]), ['it', 'it begun', 'sent 250'])
})

test('attempts at once take connections of their own, which are kept', PATIENCE, async (t) => {
  const sink = await sinkFor(t)
  const burst = () =>
    Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        client.qmgr.request('deliver', deliveryBy([sink.port], [`${n}@x`])),
      ),
    )
  for (let round = 0; round < 10; round++) {
    for (const answer of await burst()) assert.deepEqual(print(answer), ['sent 250'])
  }
  assert.equal(sink.mails.length, 200)
  assert.equal(sink.connections(), 20)
})

test('a refusal is cleared by RSET and the connection is used again', PATIENCE, async (t) => {
  const sink = await sinkFor(t, (stage, argument) =>
    stage === 'rcpt' && argument === 'no@x' ? '550 5.1.1 no' : null,
  )
  const refused = await client.qmgr.request('deliver', deliveryBy([sink.port], ['no@x']))
  assert.deepEqual(print(refused), ['never 550'])
  assert.deepEqual(refused.outcomes[0]?.outcome.reply, {
    code: 550,
    enhanced: '5.1.1',
    text: 'no',
    host: '127.0.0.1',
  })
  const sent = await client.qmgr.request('deliver', deliveryBy([sink.port], ['yes@x', 'no@x']))
  assert.deepEqual(print(sent), ['sent 250', 'never 550'])
  assert.equal(sink.connections(), 1)
})

test('a connection is left after its share of transactions', PATIENCE, async (t) => {
  const own = await startClient({ ...SLICE, transactionsPerConnection: 3 })
  t.after(() => own.close())
  const sink = await sinkFor(t)
  for (let n = 0; n < 7; n++) {
    assert.deepEqual(print(await own.qmgr.request('deliver', deliveryBy([sink.port], ['a@x']))), ['sent 250'])
  }
  assert.equal(sink.connections(), 3)
})

test('an idle connection is told QUIT after its time', PATIENCE, async (t) => {
  const own = await startClient({ ...SLICE, connectionIdle: 50 })
  t.after(() => own.close())
  const farm = await farmFor(t, goodAnswer())
  await own.qmgr.request('deliver', deliveryBy([farm.port], ['a@x']))
  await until('QUIT and the end', () => farm.lines.at(-1) === 'QUIT' && farm.sockets.size === 0)
})

test('a kept connection that has died is replaced without a word', PATIENCE, async (t) => {
  const farm = await farmFor(t, goodAnswer())
  const delivery = () => deliveryBy([farm.port], ['a@x'])
  assert.deepEqual(print(await client.qmgr.request('deliver', delivery())), ['sent 250'])
  for (const socket of farm.sockets) socket.destroy() // its end may or may not be seen before the next attempt
  assert.deepEqual(print(await client.qmgr.request('deliver', delivery())), ['sent 250'])
  assert.equal(farm.connections(), 2)
})

for (const how of ['close', '421 4.4.2 idle for too long'] as const) {
  test(`a kept connection that answers MAIL with ${how} is replaced`, PATIENCE, async (t) => {
    let mails = 0
    const sink = await sinkFor(t, (stage) => (stage === 'mail' && ++mails === 2 ? how : null))
    for (let n = 0; n < 2; n++) {
      assert.deepEqual(print(await client.qmgr.request('deliver', deliveryBy([sink.port], ['a@x']))), [
        'sent 250',
      ])
    }
    assert.equal(sink.connections(), 2)
    assert.equal(sink.mails.length, 2)
  })
}

interface Trouble {
  stage: Parameters<Parameters<typeof openSink>[0] & object>[0]
  answer: string
  outcome: string
}
const LONG = `${'250-and so on\r\n'.repeat(10_000)}250-x`
const troubles: Trouble[] = [
  ...(['connect', 'ehlo'] as const).flatMap((stage) =>
    ['hang', 'close', 'what is this', LONG].map((answer) => ({
      stage,
      answer,
      outcome: 'later 451 destination',
    })),
  ),
  { stage: 'connect', answer: '421 too busy', outcome: 'later 421 destination' },
  { stage: 'connect', answer: '450 later', outcome: 'later 450 destination' },
  { stage: 'connect', answer: '554 go away', outcome: 'later 554 destination' },
  { stage: 'connect', answer: '521 no mail here', outcome: 'never 521' },
  { stage: 'ehlo', answer: '421 too busy', outcome: 'later 421 destination' },
  { stage: 'ehlo', answer: '550 no', outcome: 'later 550 destination' },
  ...(['mail', 'rcpt', 'data'] as const).flatMap((stage) => [
    ...['hang', 'close', 'what is this', LONG].map((answer) => ({
      stage,
      answer,
      outcome: 'later 451 destination',
    })),
    { stage, answer: '421 4.3.2 leaving', outcome: 'later 421 destination' },
    { stage, answer: '451 4.3.0 busy', outcome: `later 451 ${stage === 'rcpt' ? 'recipient' : 'message'}` },
    { stage, answer: '554 5.7.1 no', outcome: 'never 554' },
  ]),
  ...['hang', 'close', 'what is this', LONG, '354 more'].map((answer) => ({
    stage: 'dot' as const,
    answer,
    outcome: 'later 451 destination in doubt',
  })),
  { stage: 'dot', answer: '421 4.3.2 leaving', outcome: 'later 421 destination' },
  { stage: 'dot', answer: '451 4.3.0 busy', outcome: 'later 451 message' },
  { stage: 'dot', answer: '554 5.6.0 no', outcome: 'never 554' },
]

for (const { stage, answer, outcome } of troubles) {
  test(`${answer.slice(0, 20)} at ${stage}: ${outcome}`, PATIENCE, async (t) => {
    const sink = await sinkFor(t, (at) => (at === stage ? answer : null))
    const report = await hasty.qmgr.request('deliver', deliveryBy([sink.port], ['a@x']))
    assert.deepEqual(print(report), [outcome], JSON.stringify(report))
    sink.setAnswer(() => null)
    const again = await hasty.qmgr.request('deliver', deliveryBy([sink.port], ['a@x']))
    assert.deepEqual(print(again), ['sent 250'])
  })
}

test('the next host is tried when one cannot be reached or does not greet', PATIENCE, async (t) => {
  const gone = await openSink()
  await gone.close()
  const refusing = await sinkFor(t, (stage) => (stage === 'connect' ? '554 no' : null))
  const silent = await sinkFor(t, (stage) => (stage === 'connect' ? 'hang' : null))
  const good = await sinkFor(t)
  const ports = [gone.port, refusing.port, silent.port, good.port]
  assert.deepEqual(print(await hasty.qmgr.request('deliver', deliveryBy(ports, ['a@x']))), ['sent 250'])
  assert.equal(good.mails.length, 1)
  const none = await hasty.qmgr.request('deliver', deliveryBy([gone.port], ['a@x']))
  assert.deepEqual(print(none), ['later 451 destination'])
  assert.equal(none.outcomes[0]?.outcome.reply.enhanced, '4.4.1')
})

test(
  'of a host with two addresses the one that answers is used, and the other after a bad greeting',
  PATIENCE,
  async (t) => {
    let greetings = 0
    const sink = await sinkFor(t, (stage) =>
      stage === 'connect' && ++greetings === 1 ? '421 not here' : null,
    )
    const hosts = [
      { name: 'two.example', addresses: ['127.0.0.1', '::1', '127.0.0.2'], port: sink.port, preference: 0 },
    ]
    const route = { kind: 'smtp', zone: '.', destination: 'two', protocol: 'smtp', hosts } as const
    // nobody listens on ::1, nor on 127.0.0.2
    const refused = await client.qmgr.request(
      'deliver',
      deliveryBy([], ['a@x'], { route: { ...route, hosts: [...hosts] } }),
    )
    assert.deepEqual(print(refused), ['later 451 destination'])
    const sent = await client.qmgr.request(
      'deliver',
      deliveryBy([], ['a@x'], { route: { ...route, hosts: [...hosts] } }),
    )
    assert.deepEqual([...print(sent), sent.address], ['sent 250', '127.0.0.1'])
  },
)

test('a server without EHLO, without PIPELINING', PATIENCE, async (t) => {
  const sink = await sinkFor(t, (stage, line) =>
    stage === 'ehlo' && line.startsWith('EHLO') ? '502 what' : null,
  )
  for (let n = 0; n < 2; n++) {
    const answer = await client.qmgr.request('deliver', deliveryBy([sink.port], ['a@x', 'b@x']))
    assert.deepEqual(print(answer), ['sent 250', 'sent 250'])
  }
  assert.equal(sink.connections(), 1)
})

test('a server that talks after each reply is left at once', PATIENCE, async (t) => {
  const good = goodAnswer()
  const farm = await farmFor(t, (line, session) => {
    const text = good(line, session)
    return line === '.' ? `${text}250 2.0.0 once more\r\n` : text
  })
  for (let n = 0; n < 3; n++) {
    assert.deepEqual(print(await client.qmgr.request('deliver', deliveryBy([farm.port], ['a@x']))), [
      'sent 250',
    ])
  }
  assert.equal(farm.connections(), 3)
})

test('DATA taken for nobody is ended by a lone dot', PATIENCE, async (t) => {
  const good = goodAnswer()
  const farm = await farmFor(t, (line, session) =>
    line.startsWith('RCPT') ? '550 no\r\n' : good(line, session),
  )
  // the outcome is known before the dot is answered, so now and then the next one takes a connection of its own
  const times = 10
  for (let n = 0; n < times; n++) {
    const answer = await client.qmgr.request('deliver', deliveryBy([farm.port], ['a@x']))
    assert.deepEqual(print(answer), ['never 550'])
  }
  assert.ok(farm.connections() < times, 'after the dot a connection is good again')
  assert.ok(farm.bodies.length > 0 && farm.bodies.every((body) => body.length === 0))
})

test('LMTP: LHLO, and an outcome for each recipient', PATIENCE, async (t) => {
  const good = goodAnswer()
  const farm = await farmFor(t, (line, session) => {
    if (line === '.') return '250 2.1.5 a\r\n452 4.2.2 b is full\r\n554 5.6.0 not c\r\n'
    return line === 'RCPT TO:<no@x>' ? '550 5.1.1 no\r\n' : good(line, session)
  })
  const delivery = deliveryBy([farm.port], ['a@x', 'no@x', 'b@x', 'c@x'])
  if (delivery.route.kind === 'smtp') delivery.route.protocol = 'lmtp'
  assert.deepEqual(print(await client.qmgr.request('deliver', delivery)), [
    'sent 250',
    'never 550',
    'later 452 recipient',
    'never 554',
  ])
  assert.equal(farm.lines[0], 'LHLO client.example')
})

test('STARTTLS is used when offered, and the connection is kept', PATIENCE, async (t) => {
  const good = goodAnswer(['PIPELINING', 'STARTTLS'])
  const farm = await farmFor(t, (line, session) => {
    if (line !== 'STARTTLS') return good(line, session)
    session.socket.write('220 go\r\n')
    session.secure()
    return null
  })
  const content = Buffer.from('.x\r\n'.repeat(40_000))
  for (let n = 0; n < 3; n++) {
    const answer = await client.qmgr.request('deliver', deliveryBy([farm.port], ['a@x'], { content }))
    assert.deepEqual(print(answer), ['sent 250'])
    assert.match(answer.tls, /^TLSv1\.[23] \S+$/)
  }
  assert.equal(farm.connections(), 1)
  assert.ok(farm.bodies.every((body) => body.toString() === '..x\r\n'.repeat(40_000)))
})

test(
  'STARTTLS that is refused goes on in clear; a broken handshake is tried once more in clear',
  PATIENCE,
  async (t) => {
    const good = goodAnswer(['PIPELINING', 'STARTTLS'])
    const refusing = await farmFor(t, (line, session) =>
      line === 'STARTTLS' ? '454 4.7.0 not now\r\n' : good(line, session),
    )
    const broken = await farmFor(t, (line, session) =>
      line === 'STARTTLS' ? '220 go\r\n' : /^[\x20-\x7e]*$/.test(line) ? good(line, session) : 'nonsense\r\n',
    )
    const silent = await farmFor(t, (line, session) =>
      line === 'STARTTLS' ? '220 go\r\n' : good(line, session),
    )
    for (const [host, connections] of [
      [refusing, 1],
      [broken, 2],
      [silent, 2],
    ] as const) {
      const answer = await hasty.qmgr.request('deliver', deliveryBy([host.port], ['a@x']))
      assert.deepEqual([print(answer), answer.tls], [['sent 250'], ''])
      assert.equal(host.connections(), connections)
    }
  },
)

/** Sends content in chunks as credit comes, until all is sent or `stop` octets are. */
async function stream(from: Client, attempt: number, content: Buffer, stop = content.length): Promise<void> {
  let credit = CONTENT_WINDOW
  for (let at = 0; at < stop; ) {
    while (credit < CONTENT_CHUNK) credit += await until('credit', () => from.credits.shift())
    const data = content.subarray(at, Math.min(at + CONTENT_CHUNK, stop))
    at += data.length
    credit -= data.length
    from.qmgr.send('content-chunk', {
      stream: attempt,
      data,
      ...(at === content.length ? { last: true } : {}),
    })
  }
}

test('large content is streamed with credit, dot-stuffed across chunks', PATIENCE, async (t) => {
  const sink = await sinkFor(t)
  const content = Buffer.from('.a line that begins with a dot, as all here do\r\n'.repeat(200_000))
  const delivery = deliveryBy([sink.port], ['a@x'], { content: null, size: content.length })
  client.credits.length = 0
  const [answer] = await Promise.all([
    client.qmgr.request('deliver', delivery),
    stream(client, delivery.attempt, content),
  ])
  assert.deepEqual(print(answer), ['sent 250'])
  assert.equal(sink.mails[0]?.octets, content.length)
  const { createHash } = await import('node:crypto')
  assert.equal(sink.mails[0]?.sha256, createHash('sha256').update(content).digest('hex'))
})

test('content that dries up, or is cancelled, closes the connection without the dot', PATIENCE, async (t) => {
  const sink = await sinkFor(t)
  const content = Buffer.alloc(600_000, 'x\r\n')
  const dried = deliveryBy([sink.port], ['a@x'], { content: null, size: content.length })
  const [answer] = await Promise.all([
    hasty.qmgr.request('deliver', dried),
    stream(hasty, dried.attempt, content, 300_000),
  ])
  assert.deepEqual(print(answer), ['later 451 ours'])
  const cancelled = deliveryBy([sink.port], ['a@x'], { content: null, size: content.length })
  const pending = client.qmgr.request('deliver', cancelled)
  await stream(client, cancelled.attempt, content, 300_000)
  client.qmgr.send('deliver-cancel', { attempt: cancelled.attempt })
  assert.deepEqual(print(await pending), ['later 451 ours'])
  assert.equal(sink.mails.length, 0)
})

test('an early refusal of a stream is the outcome, and later chunks are dropped', PATIENCE, async (t) => {
  const good = goodAnswer()
  const farm = await farmFor(t, (line, session) =>
    line === 'DATA' ? '354 go on\r\n552 5.3.4 too much\r\n' : good(line, session),
  )
  const content = Buffer.alloc(900_000, 'x\r\n')
  const delivery = deliveryBy([farm.port], ['a@x'], { content: null, size: content.length })
  const pending = client.qmgr.request('deliver', delivery)
  await stream(client, delivery.attempt, content)
  assert.deepEqual(print(await pending), ['never 552'])
})

test('a host that does not read times out in the data block, not in doubt', PATIENCE, async (t) => {
  const good = goodAnswer()
  const farm = await farmFor(t, (line, session) => {
    if (line === 'DATA') session.socket.pause()
    return good(line, session)
  })
  const content = Buffer.alloc(16 << 20, 'x\r\n')
  const delivery = deliveryBy([farm.port], ['a@x'], { content, size: content.length })
  assert.deepEqual(print(await hasty.qmgr.request('deliver', delivery)), ['later 451 destination'])
})

test('thousands of recipients, some refused', PATIENCE, async (t) => {
  const sink = await sinkFor(t, (stage, address) =>
    stage === 'rcpt' && /7@/.test(address) ? '550 no' : null,
  )
  const to = Array.from({ length: 5000 }, (_, n) => `user${n}@x`)
  const { outcomes } = await client.qmgr.request('deliver', deliveryBy([sink.port], to))
  assert.equal(outcomes.length, 5000)
  for (const { n, outcome } of outcomes) assert.equal(outcome.kind, n % 10 === 7 ? 'never' : 'sent')
  assert.equal(sink.mails[0]?.to.length, 4500)
})

test('a route that is not SMTP, or has no address, is answered', PATIENCE, async () => {
  const mailbox = { user: 'u', uid: 1, gid: 1, home: '/', format: 'maildir' as const, path: '/x' }
  const local = deliveryBy([], ['a@x'], { route: { kind: 'local', zone: 'z', destination: 'd', mailbox } })
  assert.deepEqual(print(await client.qmgr.request('deliver', local)), ['later 451 ours'])
  assert.deepEqual(print(await client.qmgr.request('deliver', deliveryBy([], ['a@x']))), [
    'later 451 destination',
  ])
  assert.deepEqual(print(await client.qmgr.request('deliver', deliveryBy([1], []))), [])
})

test('drain finishes what is in hand, says QUIT, and leaves with 0', PATIENCE, async (t) => {
  const own = await startClient(SLICE)
  const good = goodAnswer()
  let finish: () => void = () => undefined
  const farm = await farmFor(t, (line, session) => {
    if (line !== '.' || farm.bodies.length < 2) return good(line, session)
    finish = () => session.socket.write('250 2.0.0 at last\r\n')
    return null
  })
  await own.qmgr.request('deliver', deliveryBy([farm.port], ['idle@x']))
  const pending = own.qmgr.request('deliver', deliveryBy([farm.port], ['a@x']))
  await until('the dot', () => farm.bodies.length === 2)
  const gone = own.close()
  const late = await own.qmgr.request('deliver', deliveryBy([farm.port], ['late@x']))
  assert.deepEqual(print(late), ['later 451 ours'])
  finish()
  assert.deepEqual(print(await pending), ['sent 250'])
  await gone
  await until('QUIT', () => farm.lines.at(-1) === 'QUIT')
})

test('when qmgr is lost, attempts without the dot stop and those with it go on', PATIENCE, async (t) => {
  const rig = makeRig()
  const first = await playHub('qmgr', rig.buses.qmgr, { 'deliver-dial': () => undefined })
  const worker = await startWorker('smtpc', SLICE, rig)
  t.after(async () => {
    await worker.drain()
    rig.close()
  })
  const good = goodAnswer()
  const farm = await farmFor(t, (line, session) =>
    line === 'DATA' || line === '.' ? null : good(line, session),
  )
  const peer = await first.joined()
  const lost = peer.request('deliver', deliveryBy([farm.port], ['a@x']))
  lost.catch(() => undefined)
  await until('DATA', () => farm.lines.includes('DATA'))
  peer.destroy('')
  first.hub.close()
  await assert.rejects(lost)
  await until('the connection closed', () => farm.sockets.size === 0)
  const second = await playHub('qmgr', rig.buses.qmgr, { 'deliver-dial': () => undefined })
  t.after(() => second.hub.close())
  const sink = await sinkFor(t)
  const back = await second.joined()
  assert.deepEqual(print(await back.request('deliver', deliveryBy([sink.port], ['a@x']))), ['sent 250'])
})
