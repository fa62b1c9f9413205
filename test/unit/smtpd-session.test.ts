/**
 * The state machine where no client's line decides: openings, order of late answers, load, TLS, drain, timeouts,
 * clients that go.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { commands } from '../../services/smtpd/commands.ts'
import { unknownClient } from '../../services/smtpd/identity.ts'
import { replies } from '../../services/smtpd/replies.ts'
import { endsGroup, mayTake, openSession, step } from '../../services/smtpd/session.ts'
import type { Effect, Event, Intake, Setting, State } from '../../services/smtpd/state.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import { emptyBook } from '../../shared/config/rule-book.ts'
import type { Route } from '../../shared/message/route.ts'
import { renderReply } from '../../shared/smtp/reply.ts'
import { stageBounds } from '../system/smtpd-stage.ts'

const setting: Setting = {
  hostname: 'mx.example.org',
  listener: 'mx',
  kind: 'mx',
  session: 'S1',
  client: '192.0.2.1',
  uid: undefined,
  ...unknownClient,
  mayRelay: false,
  auth: null,
  starttls: 'none',
  greetingDelay: 0,
  messageSizeLimit: 1000,
  recipientLimit: 100,
  errorLimit: 20,
  tarpit: { after: 5, delay: 0 },
  bounds: { ...stageBounds, transactions: 5 },
  qualifyDomain: '',
  cutThrough: 0,
  holdLimit: 0,
  rules: emptyBook,
  removesArguments: false,
  requireSignature: false,
  authenticate: false,
  trustedSealers: [],
  screening: null,
  access: [],
  grants: { vrfy: false, expn: false, etrn: false, xforward: false },
  assume: null,
  named: null,
  naming: null,
  filtered: false,
  signs: [],
}
const go: Event = { kind: 'opened', answer: { kind: 'go' } }
const found = (address: string): Answer<'resolve'> => ({
  kind: 'found',
  class: 'local',
  zone: 'example.org',
  targets: [{ address }],
})

const TLS = { version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', exporter: null, certificateNames: [] }

class Tape {
  state: State = openSession(null)
  effects: Effect[] = []
  intake: Intake = { state: 'go', reason: '', storage: false }
  full = ''
  known = new Map<string, Answer<'resolve'>>()
  time = 5
  id: number | null = 1
  readonly #setting: Setting
  constructor(change: Partial<Setting> = {}) {
    this.#setting = { ...setting, ...change }
  }
  /** The codes of the replies to these events. */
  play(...events: (Event | string)[]): number[] {
    this.effects = []
    for (const one of events) {
      const event: Event = typeof one === 'string' ? { kind: 'line', text: one } : one
      const isFull = (destination: string) => destination === this.full
      const knownAnswer = ({ address }: { address: string }) => this.known.get(address) ?? null
      const now = {
        time: this.time,
        intake: this.intake,
        isFull,
        knownAnswer,
        lookUp: () => null,
        takeId: () => this.id,
        random: (octets: number) => Buffer.alloc(octets),
      }
      const next = step(this.#setting, this.state, event, now)
      this.state = next.state
      this.effects.push(...next.effects)
    }
    return this.effects.flatMap((effect) => (effect.kind === 'reply' ? [effect.reply.code] : []))
  }
  get kinds(): string[] {
    return this.effects.map((effect) => effect.kind)
  }
  mayTake(text: string): boolean {
    return mayTake(this.#setting, this.state, text)
  }
}

function ready(change: Partial<Setting> = {}): Tape {
  const tape = new Tape(change)
  tape.play(go, 'EHLO client.example')
  return tape
}

test('openings: qmgr says go, no, or nothing', () => {
  assert.deepEqual(new Tape().play(go), [220])
  const tape = new Tape()
  const reply = { code: 421, enhanced: '4.7.0', text: 'Too many', host: '' }
  assert.deepEqual(tape.play({ kind: 'opened', answer: { kind: 'refused', reply } }), [421])
  assert.deepEqual(tape.kinds, ['reply', 'close'])
  assert.deepEqual(new Tape().play({ kind: 'unavailable' }), [421])
})

test('early talkers are caught where the greeting is delayed', () => {
  assert.deepEqual(new Tape().play({ kind: 'early' }, go), [220])
  const early = new Tape({ greetingDelay: 100 })
  assert.deepEqual(early.play({ kind: 'early' }), [554])
  assert.equal(early.state.phase.at, 'closed')
  const late = new Tape({ greetingDelay: 100 })
  assert.deepEqual(late.play(go, { kind: 'early' }), [554])
  const patient = new Tape({ greetingDelay: 100 })
  assert.deepEqual(patient.play(go), [])
  assert.deepEqual(patient.kinds, ['delay'])
  assert.deepEqual(patient.play({ kind: 'delay-over' }), [220])
})

test('replies to RCPT come in the order of the commands, whatever the order of the answers', () => {
  const tape = ready()
  tape.play('MAIL FROM:<>')
  const refused = { kind: 'refused', reply: { code: 550, enhanced: '5.1.1', text: 'no', host: '' } } as const
  assert.deepEqual(tape.play('RCPT TO:<a@example.org>', 'RCPT TO:<b@example.org>', 'RCPT TO:<bad'), [])
  assert.deepEqual(tape.play({ kind: 'resolved', n: 1, answer: refused }), [])
  assert.deepEqual(tape.play({ kind: 'resolved', n: 0, answer: found('a@example.org') }), [250, 550, 501])
  assert.deepEqual(tape.play('DATA'), [354])
})

test('what the resolver said a moment ago is answered at once, behind those who wait', () => {
  const tape = ready()
  for (const name of ['a', 'b']) tape.known.set(`${name}@example.org`, found(`${name}@example.org`))
  tape.play('MAIL FROM:<>')
  assert.deepEqual(tape.play('RCPT TO:<a@example.org>'), [250])
  assert.deepEqual(tape.kinds, ['reply'])
  assert.deepEqual(tape.play('RCPT TO:<new@example.org>', 'RCPT TO:<b@example.org>'), [])
  assert.deepEqual(tape.play({ kind: 'resolved', n: 1, answer: found('new@example.org') }), [250, 250])
  const { phase } = tape.state
  const recipients = phase.at === 'mail' ? phase.transaction.recipients : []
  assert.deepEqual(
    recipients.map(({ address }) => address),
    ['a@example.org', 'new@example.org', 'b@example.org'],
  )
})

test('only RCPT overtakes owed replies', () => {
  const tape = ready()
  tape.play('MAIL FROM:<>', 'RCPT TO:<a@example.org>')
  assert.equal(tape.mayTake('rcpt TO:<b@example.org>'), true)
  for (const line of ['DATA', 'RSET', 'QUIT', 'NOOP', 'nonsense'])
    assert.equal(tape.mayTake(line), false, line)
  tape.play({ kind: 'resolved', n: 0, answer: null })
  assert.equal(tape.mayTake('DATA'), true)
})

test('no more than 64 recipients are looked up at once', () => {
  const tape = ready()
  tape.play('MAIL FROM:<>')
  let asked = 0
  while (tape.mayTake('RCPT TO:<a@example.org>')) {
    tape.play('RCPT TO:<a@example.org>')
    asked++
  }
  assert.equal(asked, 64)
})

test('aliases, doubles and relaying', () => {
  const tape = ready()
  tape.play(
    'MAIL FROM:<>',
    'RCPT TO:<list@example.org>',
    'RCPT TO:<a@example.org>',
    'RCPT TO:<x@remote.example>',
  )
  const answers: Answer<'resolve'>[] = [
    {
      kind: 'found',
      class: 'local',
      zone: 'z',
      targets: [{ address: 'a@example.org' }, { address: 'b@example.org' }],
    },
    found('a@example.org'),
    { kind: 'found', class: 'remote', zone: '.', targets: [{ address: 'x@remote.example' }] },
  ]
  const events = answers.map((answer, n): Event => ({ kind: 'resolved', n, answer }))
  assert.deepEqual(tape.play(...events), [250, 250, 550])
  tape.play('DATA', { kind: 'content', verdict: { kind: 'whole', size: 10 } })
  const submitted = tape.effects.find((effect) => effect.kind === 'submit')
  assert.deepEqual(submitted?.envelope, {
    id: 1,
    sender: '',
    recipients: [
      { address: 'a@example.org', original: 'list@example.org' },
      { address: 'b@example.org', original: 'list@example.org' },
    ],
    size: 10,
    body: '7bit',
    smtputf8: false,
    receivedAt: 5,
    origin: { listener: 'mx', session: 'S1', client: '192.0.2.1', helo: 'client.example' },
  })
})

test('an alias that stands for itself among others is marked as expanded, so that it is not expanded again', () => {
  const tape = ready()
  tape.play('MAIL FROM:<>', 'RCPT TO:<ann@example.org>')
  const targets = [{ address: 'ann@example.org' }, { address: 'bob@example.org' }]
  const answer: Answer<'resolve'> = { kind: 'found', class: 'local', zone: 'z', targets }
  tape.play({ kind: 'resolved', n: 0, answer }, 'DATA', {
    kind: 'content',
    verdict: { kind: 'whole', size: 10 },
  })
  const submitted = tape.effects.find((effect) => effect.kind === 'submit')
  assert.deepEqual(
    submitted?.envelope.recipients.map(({ original }) => original),
    ['ann@example.org', 'ann@example.org'],
  )
})

test('qmgr short of something, or gone, is told at MAIL', () => {
  const tape = ready()
  for (const [state, storage, code] of [
    ['refuse', true, 452],
    ['refuse', false, 451],
    ['down', false, 451],
    ['wait', false, 250],
  ] as const) {
    tape.intake = { state, reason: 'disk', storage }
    assert.deepEqual(tape.play('MAIL FROM:<>'), [code], state)
  }
  const noIds = ready()
  noIds.id = null
  assert.deepEqual(noIds.play('MAIL FROM:<>'), [451])
})

test('a recipient whose next hop is full is told to come later', () => {
  const route = (destination: string): Route => {
    return { kind: 'smtp', zone: '.', destination, protocol: 'smtp', hosts: [] }
  }
  const routed = (...destinations: string[]): Answer<'resolve'> => ({
    ...{ kind: 'found', class: 'relay', zone: '.' },
    targets: destinations.map((one) => ({ address: `x@${one}`, route: route(one) })),
  })
  const tape = ready()
  tape.full = 'full.example'
  tape.play('MAIL FROM:<>', 'RCPT TO:<a@x.example>', 'RCPT TO:<b@x.example>', 'RCPT TO:<c@x.example>')
  assert.deepEqual(tape.play({ kind: 'resolved', n: 0, answer: routed('full.example') }), [452])
  assert.deepEqual(tape.play({ kind: 'resolved', n: 1, answer: routed('y.example', 'full.example') }), [452])
  assert.deepEqual(tape.play({ kind: 'resolved', n: 2, answer: routed('y.example') }), [250])
  assert.deepEqual(tape.play('DATA'), [354], 'the others are no worse for it')
})

/** Up to the point where qmgr has the message. */
function committing(change: Partial<Setting> = {}): Tape {
  const tape = ready(change)
  tape.play('MAIL FROM:<>', 'RCPT TO:<a@example.org>', {
    kind: 'resolved',
    n: 0,
    answer: found('a@example.org'),
  })
  tape.play('DATA', { kind: 'content', verdict: { kind: 'whole', size: 10 } })
  return tape
}

test('250 only on the word of qmgr', () => {
  assert.equal(committing().mayTake('MAIL FROM:<>'), false)
  assert.deepEqual(committing().play({ kind: 'settled', answer: { kind: 'accepted' } }), [250])
  const reply = { code: 452, enhanced: '4.3.1', text: 'Disk full', host: '' }
  assert.deepEqual(committing().play({ kind: 'settled', answer: { kind: 'refused', reply } }), [452])
  assert.deepEqual(committing().play({ kind: 'settled', answer: null }), [451])
})

test('content that is not taken has its own reply, and the session goes on', () => {
  for (const [kind, code] of [
    ['bare-newline', 550],
    ['too-large', 552],
    ['looping', 554],
    ['queue-lost', 451],
  ] as const) {
    const tape = ready()
    tape.play('MAIL FROM:<>', 'RCPT TO:<a@example.org>', {
      kind: 'resolved',
      n: 0,
      answer: found('a@example.org'),
    })
    tape.play('DATA')
    assert.deepEqual(tape.play({ kind: 'content', verdict: { kind } }, 'MAIL FROM:<>'), [code, 250])
  }
})

test('STARTTLS: offered, demanded, forgotten what was said before', () => {
  const tape = new Tape({ starttls: 'required' })
  tape.play(go, 'EHLO client.example')
  assert.match(
    tape.effects.map((effect) => (effect.kind === 'reply' ? effect.reply.text : '')).join(),
    /STARTTLS/,
  )
  assert.deepEqual(tape.play('MAIL FROM:<>', 'VRFY x', 'NOOP', 'STARTTLS x'), [530, 530, 250, 501])
  assert.deepEqual(tape.play('STARTTLS'), [220])
  assert.deepEqual(tape.kinds, ['reply', 'secure'])
  assert.equal(tape.mayTake('NOOP'), false)
  assert.deepEqual(tape.play({ kind: 'secured', tls: TLS }, 'MAIL FROM:<>'), [503])
  assert.deepEqual(tape.play('EHLO client.example', 'STARTTLS', 'MAIL FROM:<>'), [250, 503, 250])
  const broken = new Tape({ starttls: 'broken' })
  assert.deepEqual(broken.play(go, 'EHLO client.example', 'STARTTLS', 'MAIL FROM:<>'), [220, 250, 454, 530])
})

test('drain: idle sessions leave at once, transactions are finished first', () => {
  const idle = ready()
  assert.deepEqual(idle.play({ kind: 'drain' }), [421])
  assert.equal(idle.state.phase.at, 'closed')
  const busy = committing()
  assert.deepEqual(busy.play({ kind: 'drain' }), [])
  assert.deepEqual(busy.play({ kind: 'settled', answer: { kind: 'accepted' } }), [250, 421])
  const undecided = ready()
  undecided.play('MAIL FROM:<>', { kind: 'drain' })
  assert.deepEqual(undecided.play('RSET'), [250, 421])
  assert.deepEqual(undecided.kinds, ['reply', 'reply', 'close'])
})

test('silence ends the session only while the client owes us something', () => {
  assert.deepEqual(ready().play({ kind: 'timeout', limit: 'command' }), [421])
  assert.deepEqual(committing().play({ kind: 'timeout', limit: 'command' }), [])
  const asking = ready()
  asking.play('MAIL FROM:<>', 'RCPT TO:<a@example.org>')
  assert.deepEqual(asking.play({ kind: 'timeout', limit: 'command' }), [])
  assert.deepEqual(new Tape().play({ kind: 'timeout', limit: 'command' }), [])
})

test('each deadline has its words, and what was in hand is told to the log', () => {
  const tape = ready()
  tape.play('MAIL FROM:<>')
  assert.deepEqual(tape.play({ kind: 'timeout', limit: 'envelope' }), [421])
  assert.deepEqual(tape.kinds.slice(-3), ['reply', 'ended', 'close'])
  const last = ready()
  assert.deepEqual(last.play({ kind: 'timeout', limit: 'session' }), [421])
  const busy = ready()
  assert.deepEqual(busy.play('MAIL FROM:<>', { kind: 'timeout', limit: 'session' }), [250])
  assert.deepEqual(busy.play('RSET'), [250, 421], 'a transaction in hand is finished')
})

test('who makes mistakes waits longer with each, but not for ever', () => {
  const waits = (after: number) => {
    const tape = ready({ tarpit: { after, delay: 100 } })
    tape.play(...Array.from({ length: 19 }, () => 'FOO'))
    return tape.effects.flatMap((one) => (one.kind === 'tarpit' ? [one.milliseconds] : []))
  }
  assert.deepEqual(waits(7), [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1000, 1000])
  assert.deepEqual(waits(18), [100])
})

test('a client that is gone changes nothing any more, but a commit is heard to its end', () => {
  const tape = ready()
  tape.play('MAIL FROM:<>', 'RCPT TO:<a@example.org>', { kind: 'gone' })
  assert.deepEqual(tape.kinds.at(-1), 'ended')
  assert.deepEqual(tape.play({ kind: 'resolved', n: 0, answer: found('a@example.org') }, 'QUIT'), [])
  const busy = committing()
  busy.play({ kind: 'gone' })
  busy.play({ kind: 'settled', answer: { kind: 'accepted' } })
  assert.deepEqual(busy.kinds, ['reply', 'ended'])
})

test('replies are told apart, and none breaks a line', () => {
  const known = Object.values(replies)
  assert.equal(new Set(known.map((reply) => reply.text + reply.code)).size, known.length)
  for (const reply of known) {
    assert.match(renderReply(reply), /^[2-5]\d\d (?:[245]\.\d\.\d+ )?[ -~]+\r\n$/)
    assert.ok(reply.enhanced === '' || reply.enhanced.startsWith(String(reply.code).charAt(0)))
  }
  const hostile = { code: 550, enhanced: '5.1.1', text: 'a\r\n250 ok\u0000', host: '' }
  assert.equal(renderReply(hostile), '550-5.1.1 a?\r\n550 5.1.1 250 ok?\r\n')
})

test('every command is either the end of a group or may be pipelined', () => {
  const pipelined = new Set(['MAIL', 'RCPT', 'RSET', 'BDAT', 'XFORWARD', 'XWHY'])
  for (const verb of commands.keys()) assert.equal(endsGroup(verb), !pipelined.has(verb), verb)
})

test('a client that has reached its limit is told at MAIL until it may go on', () => {
  for (const answer of [
    { kind: 'accepted', brake: 1000 },
    { kind: 'refused', reply: { code: 450, enhanced: '4.7.1', text: 'no', host: '' }, brake: 1000 },
  ] as const) {
    const tape = committing()
    tape.play({ kind: 'settled', answer })
    assert.deepEqual(tape.play('MAIL FROM:<>'), [450])
    tape.time = 1000
    assert.deepEqual(tape.play('MAIL FROM:<>'), [250])
  }
})
