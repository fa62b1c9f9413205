/**
 * The client's transaction machine, driven by replies alone: what it writes, when it settles, and what becomes of
 * the connection, for every place where a server can refuse, vanish or talk nonsense.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { Delivery } from '../../shared/smtp-client/commands.ts'
import { NO_OFFERS, type Offers } from '../../shared/smtp-client/offers.ts'
import type { Effect, TransactionEvent } from '../../shared/smtp-client/states.ts'
import { advance, begin } from '../../shared/smtp-client/transaction.ts'

const PIPELINED: Offers = {
  ...{ pipelining: true, size: true, eightBitMime: true, smtputf8: true, dsn: true },
  ...{ binaryMime: false, deliverBy: null, priority: false, requireTls: false },
  ...{ mostRecipients: 1000, mostTransactions: 1000, largest: 1 << 20 },
}

function deliveryTo(...addresses: string[]): Delivery {
  return {
    sender: 'from@example.org',
    recipients: addresses.map((address, n) => ({ n, address })),
    size: 7,
    body: '7bit',
    smtputf8: false,
    content: Buffer.from('hello\r\n'),
  }
}

function reply(code: number, text = 'text'): Reply {
  return { code, enhanced: '', text, host: 'mx' }
}

const GONE: TransactionEvent = { kind: 'lost', reply: reply(451, 'gone'), blame: 'destination' }

/** Plays a list of codes (or events) and prints what the machine did, one word or command per step. */
function play(
  offers: Offers,
  delivery: Delivery,
  lmtp: boolean,
  ...script: (number | TransactionEvent | 'handed' | 'flushed' | 'lost')[]
) {
  const { transaction, effects } = begin(delivery, offers, lmtp, 0)
  const done: string[] = []
  let outcomes: Outcome[] = []
  const note = (list: Effect[]) => {
    for (const effect of list) {
      if (effect.kind === 'write') done.push(...effect.text.trimEnd().split('\r\n'))
      else done.push(effect.kind)
      if (effect.kind === 'settle') outcomes = effect.outcomes
    }
  }
  note(effects)
  for (const step of script) {
    if (typeof step === 'number') note(advance(transaction, { kind: 'reply', reply: reply(step) }))
    else if (step === 'lost') note(advance(transaction, GONE))
    else if (typeof step === 'string') note(advance(transaction, { kind: step }))
    else note(advance(transaction, step))
  }
  return { done, outcomes: outcomes.map(printOutcome), phase: transaction.state.phase }
}

function printOutcome(outcome: Outcome): string {
  if (outcome.kind !== 'later') return `${outcome.kind} ${outcome.reply.code}`
  return `later ${outcome.reply.code} ${outcome.blame}${outcome.inDoubt ? ' in doubt' : ''}`
}

test('a pipelined transaction writes the envelope at once and frees the connection after the dot', () => {
  const { done, outcomes } = play(
    PIPELINED,
    deliveryTo('a@x', 'b@x'),
    false,
    250,
    250,
    250,
    354,
    'handed',
    250,
  )
  assert.deepEqual(done, [
    'MAIL FROM:<from@example.org> SIZE=7',
    'RCPT TO:<a@x>',
    'RCPT TO:<b@x>',
    'DATA',
    'content',
    'settle',
    'free',
  ])
  assert.deepEqual(outcomes, ['sent 250', 'sent 250'])
})

test('together: one recipient put off keeps the message from all, and what was refused stays refused', () => {
  const delivery = deliveryTo('a@x', 'b@x', 'c@x')
  const { transaction, effects } = begin(delivery, PIPELINED, false, 0, true)
  assert.deepEqual(effects.length, 1)
  const codes = [250, 250, 550, 451]
  const last = codes.flatMap((code) => advance(transaction, { kind: 'reply', reply: reply(code) }))
  assert.ok(!last.some((effect) => effect.kind === 'write' && effect.text.startsWith('DATA')))
  assert.deepEqual(last.at(-1), { kind: 'write', text: 'RSET\r\n' })
  assert.deepEqual(
    transaction.outcomes.map((outcome) => outcome && printOutcome(outcome)),
    ['later 451 recipient', 'never 550', 'later 451 recipient'],
  )
})

test('without PIPELINING each command waits for the reply before it', () => {
  const { transaction, effects } = begin(deliveryTo('a@x', 'b@x'), NO_OFFERS, false, 0)
  assert.deepEqual(effects, [{ kind: 'write', text: 'MAIL FROM:<from@example.org>\r\n' }])
  const next = () => advance(transaction, { kind: 'reply', reply: reply(250) })
  assert.deepEqual(next(), [{ kind: 'write', text: 'RCPT TO:<a@x>\r\n' }])
  assert.deepEqual(next(), [{ kind: 'write', text: 'RCPT TO:<b@x>\r\n' }])
  assert.deepEqual(next(), [{ kind: 'write', text: 'DATA\r\n' }])
  assert.deepEqual(advance(transaction, { kind: 'reply', reply: reply(354) }), [{ kind: 'content' }])
})

interface Case {
  name: string
  offers?: Offers
  to?: string[]
  lmtp?: boolean
  script: (number | 'handed' | 'flushed' | 'lost')[]
  outcomes: string[]
  /** What happens after the commands of the envelope. */
  rest: string[]
}

const cases: Case[] = [
  {
    name: 'one recipient of two refused',
    to: ['a@x', 'b@x'],
    script: [250, 550, 250, 354, 'handed', 'flushed', 250],
    outcomes: ['never 550', 'sent 250'],
    rest: ['content', 'settle', 'free'],
  },
  {
    name: 'a recipient put off blames the recipient',
    to: ['a@x', 'b@x'],
    script: [250, 450, 250, 354, 'handed', 'flushed', 250],
    outcomes: ['later 450 recipient', 'sent 250'],
    rest: ['content', 'settle', 'free'],
  },
  {
    name: '552 after an accepted recipient means too many',
    to: ['a@x', 'b@x'],
    script: [250, 250, 552, 354, 'handed', 'flushed', 250],
    outcomes: ['sent 250', 'later 552 recipient'],
    rest: ['content', 'settle', 'free'],
  },
  {
    name: '552 to the first recipient is final',
    script: [250, 552, 503, 250],
    outcomes: ['never 552'],
    rest: ['settle', 'RSET', 'free'],
  },
  {
    name: 'MAIL refused for good',
    script: [550, 503, 503, 250],
    outcomes: ['never 550'],
    rest: ['settle', 'RSET', 'free'],
  },
  {
    name: 'MAIL put off blames the message',
    script: [451, 503, 503, 250],
    outcomes: ['later 451 message'],
    rest: ['settle', 'RSET', 'free'],
  },
  {
    name: 'MAIL refused without PIPELINING',
    offers: NO_OFFERS,
    script: [550, 250],
    outcomes: ['never 550'],
    rest: ['settle', 'RSET', 'free'],
  },
  {
    name: 'MAIL refused, the rest taken: nobody gets an empty message',
    script: [550, 250, 354],
    outcomes: ['never 550'],
    rest: ['settle', 'close'],
  },
  {
    name: 'all recipients refused, DATA refused',
    to: ['a@x', 'b@x'],
    script: [250, 550, 450, 554, 250],
    outcomes: ['never 550', 'later 450 recipient'],
    rest: ['settle', 'RSET', 'free'],
  },
  {
    name: 'all recipients refused, DATA taken: a lone dot',
    script: [250, 550, 354, 250],
    outcomes: ['never 550'],
    rest: ['settle', '.', 'free'],
  },
  {
    name: 'all recipients refused without PIPELINING: no DATA',
    offers: NO_OFFERS,
    script: [250, 550, 250],
    outcomes: ['never 550'],
    rest: ['RCPT TO:<a@x>', 'settle', 'RSET', 'free'],
  },
  {
    name: 'DATA refused for good',
    script: [250, 250, 554, 250],
    outcomes: ['never 554'],
    rest: ['settle', 'RSET', 'free'],
  },
  {
    name: 'DATA put off',
    script: [250, 250, 451, 250],
    outcomes: ['later 451 message'],
    rest: ['settle', 'RSET', 'free'],
  },
  {
    name: 'RSET refused closes',
    script: [250, 250, 451, 500],
    outcomes: ['later 451 message'],
    rest: ['settle', 'RSET', 'close'],
  },
  {
    name: 'content refused for good',
    script: [250, 250, 354, 'handed', 'flushed', 554],
    outcomes: ['never 554'],
    rest: ['content', 'settle', 'free'],
  },
  {
    name: 'content put off',
    script: [250, 250, 354, 'handed', 'flushed', 451],
    outcomes: ['later 451 message'],
    rest: ['content', 'settle', 'free'],
  },
  {
    name: '421 to MAIL',
    script: [421],
    outcomes: ['later 421 destination'],
    rest: ['settle', 'close'],
  },
  {
    name: '421 to RCPT keeps what is known',
    to: ['a@x', 'b@x'],
    script: [250, 550, 421],
    outcomes: ['never 550', 'later 421 destination'],
    rest: ['settle', 'close'],
  },
  {
    name: '421 after the dot is an answer, not doubt',
    script: [250, 250, 354, 'handed', 'flushed', 421],
    outcomes: ['later 421 destination'],
    rest: ['content', 'settle', 'close'],
  },
  {
    name: '421 to RSET',
    script: [250, 250, 451, 421],
    outcomes: ['later 451 message'],
    rest: ['settle', 'RSET', 'close'],
  },
  {
    name: 'lost before any reply',
    script: ['lost'],
    outcomes: ['later 451 destination'],
    rest: ['settle', 'close'],
  },
  {
    name: 'lost in content',
    script: [250, 250, 354, 'lost'],
    outcomes: ['later 451 destination'],
    rest: ['content', 'settle', 'close'],
  },
  {
    name: 'lost while the dot is still ours',
    script: [250, 250, 354, 'handed', 'lost'],
    outcomes: ['later 451 destination'],
    rest: ['content', 'settle', 'close'],
  },
  {
    name: 'lost after the dot',
    to: ['a@x', 'b@x'],
    script: [250, 550, 250, 354, 'handed', 'flushed', 'lost'],
    outcomes: ['never 550', 'later 451 destination in doubt'],
    rest: ['content', 'settle', 'close'],
  },
  {
    name: 'lost in RSET changes nothing',
    script: [250, 250, 451, 'lost'],
    outcomes: ['later 451 message'],
    rest: ['settle', 'RSET', 'close'],
  },
  {
    name: 'a refusal while content is on its way',
    script: [250, 250, 354, 552],
    outcomes: ['never 552'],
    rest: ['content', 'settle', 'close'],
  },
  {
    name: 'a success before the dot is nonsense',
    script: [250, 250, 354, 250],
    outcomes: ['later 451 destination'],
    rest: ['content', 'settle', 'close'],
  },
  {
    name: 'DATA answered by 250 is nonsense',
    script: [250, 250, 250],
    outcomes: ['later 451 destination'],
    rest: ['settle', 'close'],
  },
  {
    name: '354 after the dot leaves doubt',
    script: [250, 250, 354, 'handed', 'flushed', 354],
    outcomes: ['later 451 destination in doubt'],
    rest: ['content', 'settle', 'close'],
  },
  {
    name: 'LMTP has a reply for each accepted recipient',
    lmtp: true,
    to: ['a@x', 'b@x', 'c@x', 'd@x'],
    script: [250, 250, 550, 250, 250, 354, 'handed', 'flushed', 250, 452, 554],
    outcomes: ['sent 250', 'never 550', 'later 452 recipient', 'never 554'],
    rest: ['content', 'settle', 'free'],
  },
  {
    name: 'LMTP lost between replies leaves the rest in doubt',
    lmtp: true,
    to: ['a@x', 'b@x'],
    script: [250, 250, 250, 354, 'handed', 'flushed', 250, 'lost'],
    outcomes: ['sent 250', 'later 451 destination in doubt'],
    rest: ['content', 'settle', 'close'],
  },
]

for (const { name, offers = PIPELINED, to = ['a@x'], lmtp = false, script, outcomes, rest } of cases) {
  test(name, () => {
    const played = play(offers, deliveryTo(...to), lmtp, ...script)
    assert.deepEqual(played.outcomes, outcomes)
    const envelope = offers.pipelining ? 2 + to.length : 1
    assert.deepEqual(played.done.slice(envelope), rest)
  })
}

test('whatever a server says, each recipient is settled once and the machine comes to an end', () => {
  const step = fc.oneof(
    fc.constantFrom(220, 250, 251, 354, 421, 450, 451, 452, 500, 503, 550, 552, 554),
    fc.constantFrom('handed' as const, 'flushed' as const, 'lost' as const),
  )
  const scripts = fc.array(step, { maxLength: 30 })
  fc.assert(
    fc.property(
      scripts,
      fc.boolean(),
      fc.boolean(),
      fc.integer({ min: 1, max: 4 }),
      (script, pipe, lmtp, count) => {
        const to = Array.from({ length: count }, (_, n) => `r${n}@x`)
        const offers = pipe ? PIPELINED : NO_OFFERS
        const { done, outcomes } = play(offers, deliveryTo(...to), lmtp, ...script, 'lost')
        assert.equal(done.filter((word) => word === 'settle').length, 1)
        assert.equal(outcomes.length, count)
        assert.ok(!outcomes.some((outcome) => outcome.endsWith('ours')), outcomes.join())
        const ends = done.filter((word) => word === 'free' || word === 'close')
        assert.ok(done.indexOf('settle') < done.indexOf(ends[0] ?? ''))
        const sent = outcomes.filter((outcome) => outcome.startsWith('sent'))
        if (sent.length > 0) assert.ok(done.includes('content'))
      },
    ),
    { numRuns: 3000 },
  )
})

test('an extension that is missing is a final reply of our own, and nothing is written', () => {
  const utf8 = { ...deliveryTo('ä@x'), smtputf8: true }
  const eight = { ...deliveryTo('a@x'), body: '8bitmime' as const, content: Buffer.from('ä\r\n') }
  const streamed = { ...eight, content: null }
  const binary = { ...deliveryTo('a@x'), body: 'binarymime' as const }
  for (const [delivery, code] of [
    [utf8, 'never 550'],
    [eight, 'never 554'],
    [streamed, 'never 554'],
    [binary, 'never 554'],
  ] as const) {
    const { done, outcomes } = play(NO_OFFERS, delivery, false)
    assert.deepEqual(done, ['settle', 'free'])
    assert.deepEqual(outcomes, [code])
  }
})

test('the time that is left and the priority go on where they are understood', () => {
  const by = (at: number, mode: 'return' | 'notify') => ({ at, mode, trace: true })
  const urgent = { ...deliveryTo('a@x'), priority: 4, deliverBy: by(90_000, 'return') }
  const offers: Offers = { ...PIPELINED, deliverBy: 60, priority: true }
  assert.deepEqual(
    play(offers, urgent, false).done[0],
    'MAIL FROM:<from@example.org> SIZE=7 BY=90;RT MT-PRIORITY=4',
  )
  for (const [unfit, lmtp, outcome] of [
    [{ ...offers, deliverBy: null }, false, ['never 554']],
    [{ ...offers, deliverBy: 91 }, false, ['never 554']],
    [{ ...offers, deliverBy: null }, true, []],
  ] as const)
    assert.deepEqual(play(unfit, urgent, lmtp).outcomes, outcome)
  const patient = { ...urgent, deliverBy: by(-5000, 'notify') }
  assert.match(play(offers, patient, false).done[0] ?? '', / BY=-5;NT /)
  const { transaction } = begin(patient, { ...offers, deliverBy: null }, false, 0)
  for (const code of [250, 250, 354]) advance(transaction, { kind: 'reply', reply: reply(code) })
  advance(transaction, { kind: 'handed' })
  advance(transaction, { kind: 'reply', reply: reply(250) })
  assert.deepEqual(transaction.outcomes, [{ kind: 'sent', reply: reply(250), dsn: true, untimed: true }])
})

test('a host that names a limit gets no more recipients at a time, and the rest soon', () => {
  const { done, outcomes } = play(
    { ...PIPELINED, mostRecipients: 2 },
    deliveryTo('a@x', 'b@x', 'c@x'),
    false,
    250,
  )
  assert.deepEqual(done.slice(1), ['RCPT TO:<a@x>', 'RCPT TO:<b@x>', 'DATA'])
  const whole = play(
    { ...PIPELINED, mostRecipients: 1 },
    deliveryTo('a@x', 'b@x'),
    false,
    250,
    250,
    354,
    'handed',
    250,
  )
  assert.deepEqual(whole.outcomes, ['sent 250', 'later 452 ours'])
  assert.deepEqual(outcomes, [])
})

test('REQUIRETLS is asked for, and nothing is given to a host that does not offer it', () => {
  const secret = { ...deliveryTo('a@x'), requireTls: true }
  const { done } = play({ ...PIPELINED, requireTls: true }, secret, false)
  assert.equal(done[0], 'MAIL FROM:<from@example.org> SIZE=7 REQUIRETLS')
  assert.deepEqual(play(PIPELINED, secret, false).outcomes, ['never 550'])
})

const BINARY: Offers = { ...PIPELINED, binaryMime: true }

test('binary content goes in one chunk, behind the replies to all recipients', () => {
  const binary = { ...deliveryTo('a@x', 'b@x'), body: 'binarymime' as const }
  const envelope = ['MAIL FROM:<from@example.org> SIZE=7 BODY=BINARYMIME', 'RCPT TO:<a@x>', 'RCPT TO:<b@x>']
  const { done, outcomes } = play(BINARY, binary, false, 250, 550, 250, 'handed', 250)
  assert.deepEqual(done, [...envelope, 'BDAT 7 LAST', 'content', 'settle', 'free'])
  assert.deepEqual(outcomes, ['never 550', 'sent 250'])
  const nobody = play(BINARY, binary, false, 250, 550, 550, 250)
  assert.deepEqual(nobody.done, [...envelope, 'settle', 'RSET', 'free'])
  const slow = play({ ...NO_OFFERS, binaryMime: true }, binary, true, 250, 250, 250, 'handed', 250, 450)
  assert.deepEqual(slow.done.slice(3), ['BDAT 7 LAST', 'content', 'settle', 'free'])
  assert.deepEqual(slow.outcomes, ['sent 250', 'later 450 recipient'])
})

test('8BITMIME declared for content that is ASCII goes anywhere', () => {
  const { done } = play(NO_OFFERS, { ...deliveryTo('a@x'), body: '8bitmime' }, false)
  assert.deepEqual(done, ['MAIL FROM:<from@example.org>'])
})

test('parameters are written when offered, and only then', () => {
  const delivery: Delivery = {
    ...deliveryTo('a@x'),
    body: '8bitmime',
    smtputf8: true,
    ret: 'hdrs',
    envid: 'id+3D1',
    recipients: [{ n: 0, address: 'ä@x', notify: 'SUCCESS,FAILURE', orcpt: 'rfc822;b@x' }],
  }
  assert.deepEqual(play(PIPELINED, delivery, false).done, [
    'MAIL FROM:<from@example.org> SIZE=7 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+3D1',
    'RCPT TO:<ä@x> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@x',
    'DATA',
  ])
  const plain = play({ ...NO_OFFERS, smtputf8: true, pipelining: true }, delivery, false).done
  assert.deepEqual(plain.slice(0, 2), ['MAIL FROM:<from@example.org> SMTPUTF8', 'RCPT TO:<ä@x>'])
})

test('an address with a line break never becomes a command', () => {
  const { done, outcomes } = play(PIPELINED, deliveryTo('a@x>\r\nRSET\r\n', 'b@x'), false, 250, 250, 354)
  assert.ok(!done.includes('RSET'))
  assert.equal(done.filter((word) => word.startsWith('RCPT')).length, 1)
  assert.deepEqual(outcomes, [])
  const alone = play(PIPELINED, deliveryTo('a\r\n@x'), false)
  assert.deepEqual(alone, { done: ['settle', 'free'], outcomes: ['never 553'], phase: 'over' })
  const sender = play(PIPELINED, { ...deliveryTo('a@x'), sender: 'a\r\nDATA' }, false)
  assert.deepEqual(sender.outcomes, ['never 553'])
})

test('a host that offers DSN takes the wish for reports over, and that is told with what it took', () => {
  const wishing = deliveryTo('a@x', 'b@x')
  const [first, second] = wishing.recipients
  assert.ok(first && second)
  Object.assign(first, { notify: 'SUCCESS,DELAY', orcpt: 'rfc822;A+2Bx' })
  Object.assign(wishing, { ret: 'hdrs', envid: 'Q+20x' })
  const over = (offers: Offers, lmtp: boolean) => {
    const { transaction, effects } = begin(wishing, { ...offers, pipelining: true }, lmtp, 0)
    const [write] = effects
    for (const code of [250, 250, 550, 354]) advance(transaction, { kind: 'reply', reply: reply(code) })
    advance(transaction, { kind: 'handed' })
    const last = advance(transaction, { kind: 'reply', reply: reply(250) })
    const settled = last.flatMap((effect) => (effect.kind === 'settle' ? effect.outcomes : []))
    return { text: write?.kind === 'write' ? write.text : '', settled }
  }
  for (const lmtp of [false, true]) {
    const { text, settled } = over(PIPELINED, lmtp)
    assert.match(text, /^MAIL FROM:<from@example.org> SIZE=7 RET=HDRS ENVID=Q\+20x\r$/m)
    assert.match(text, /^RCPT TO:<a@x> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;A\+2Bx\r$/m)
    assert.match(text, /^RCPT TO:<b@x>\r$/m)
    assert.deepEqual(settled, [
      { kind: 'sent', reply: reply(250), dsn: true },
      { kind: 'never', reply: reply(550) },
    ])
  }
  const { text, settled } = over(NO_OFFERS, false)
  assert.doesNotMatch(text, /RET|ENVID|NOTIFY|ORCPT/)
  assert.deepEqual(settled[0], { kind: 'sent', reply: reply(250) })
})

test('ORCPT beyond ASCII goes out only where the message may be so', () => {
  const orcptTo = (orcpt: string, smtputf8: boolean) => {
    const delivery = { ...deliveryTo(), smtputf8, recipients: [{ n: 0, address: 'a@x', orcpt }] }
    const [write] = begin(delivery, PIPELINED, false, 0).effects
    return /ORCPT=(.*)\r/.exec(write?.kind === 'write' ? write.text : '')?.[1]
  }
  assert.equal(orcptTo('utf-8;ü@x', true), 'utf-8;ü@x')
  assert.equal(orcptTo('utf-8;ü@x', false), undefined)
  assert.equal(orcptTo('utf-8;\\x{FC}@x', false), 'utf-8;\\x{FC}@x')
  assert.equal(orcptTo('rfc822;a\r\nRSET', true), undefined)
})
