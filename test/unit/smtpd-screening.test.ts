/** What a score comes to in a session: before the greeting, at RCPT, for postmaster, and in the header. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scoreHeader } from '../../services/smtpd/screening.ts'
import { openSession, step } from '../../services/smtpd/session.ts'
import type { Effect, Event, Moment, Screening, State } from '../../services/smtpd/state.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import { settingOf } from '../dialogue/player.ts'
import { listenerSlice, resolveByName } from '../system/smtpd-stage.ts'

const screening: Screening = {
  name: 's',
  when: 'recipient',
  tagScore: 2,
  deferScore: 3,
  rejectScore: 5,
  greylistScore: null,
  helo: true,
}
const bad: Answer<'screen'> = { score: 5, signs: [{ name: 'bl.example', score: 5 }] }
const odd: Answer<'screen'> = {
  score: 3,
  signs: [
    { name: 'bl.example', score: 5 },
    { name: 'wl.example', score: -2 },
  ],
}
const good: Answer<'screen'> = { score: 0, signs: [] }
const go: Event = { kind: 'opened', answer: { kind: 'go' } }

class Tape {
  state: State = openSession(null)
  effects: Effect[] = []
  readonly #screening: Screening
  readonly #known: boolean
  readonly #delay: number

  constructor(change: Partial<Screening> = {}, known = false, delay = 0) {
    this.#screening = { ...screening, ...change }
    this.#known = known
    this.#delay = delay
  }
  play(...events: (Event | string)[]): string[] {
    this.effects = []
    const now: Moment = {
      time: 0,
      intake: { state: 'go', reason: '', storage: false },
      isFull: () => false,
      lookUp: () => null,
      knownAnswer: (question) => (this.#known ? resolveByName(question) : null),
      takeId: () => 1,
      random: (octets) => Buffer.alloc(octets),
    }
    const setting = settingOf(listenerSlice({ greetingDelay: this.#delay }), { screening: this.#screening })
    for (const one of events) {
      const event: Event = typeof one === 'string' ? { kind: 'line', text: one } : one
      const next = step(setting, this.state, event, now)
      this.state = next.state
      this.effects.push(...next.effects)
    }
    return this.effects.flatMap((one) =>
      one.kind === 'reply' ? [`${one.reply.code} ${one.reply.enhanced} ${one.reply.text}`] : [],
    )
  }
  get asked(): (string | null)[] {
    return this.effects.flatMap((one) => (one.kind === 'screen' ? [one.helo] : []))
  }
}

const screened = (answer: Answer<'screen'> | null): Event => ({ kind: 'screened', answer })
const resolved = (n: number, address: string): Event => ({
  kind: 'resolved',
  n,
  answer: resolveByName({ address }),
})
const codes = (replies: string[]) => replies.map((one) => Number(one.slice(0, 3)))

function atMail(tape: Tape): Tape {
  tape.play(go, 'EHLO client.example', 'MAIL FROM:<x@client.example>')
  return tape
}

test('before the greeting: refused, put off, or greeted', () => {
  const replies: [Answer<'screen'> | null, string][] = [
    [bad, '554 5.7.1 Your address is not welcome here (bl.example)'],
    [odd, '421 4.7.1 Your address is not welcome now, try again later (bl.example)'],
    [good, '220  mx.example.org ESMTP Posthorn'],
    [null, '220  mx.example.org ESMTP Posthorn'],
  ]
  for (const [answer, reply] of replies) {
    const tape = new Tape({ when: 'connect' })
    assert.deepEqual(tape.play(go), [])
    assert.deepEqual(tape.asked, [null])
    assert.deepEqual(tape.play(screened(answer)), [reply])
  }
})

test('the greeting waits for its delay and for the answer, whichever is later', () => {
  const one = new Tape({ when: 'connect' }, false, 1000)
  assert.deepEqual(one.play(go, screened(good)), [])
  assert.deepEqual(codes(one.play({ kind: 'delay-over' })), [220])
  const other = new Tape({ when: 'connect' }, false, 1000)
  assert.deepEqual(other.play(go, { kind: 'delay-over' }), [])
  assert.deepEqual(codes(other.play(screened(good))), [220])
  const early = new Tape({ when: 'connect' }, false, 1000)
  assert.deepEqual(codes(early.play(go, { kind: 'early' })), [554])
})

test('at the first recipient: asked once, and nobody is answered before', () => {
  for (const [answer, expected] of [
    [bad, [550, 550]],
    [odd, [450, 450]],
    [good, [250, 250]],
    [null, [250, 250]],
  ] as const) {
    const tape = atMail(new Tape())
    assert.deepEqual(tape.play('RCPT TO:<a@example.org>', 'RCPT TO:<b@example.org>'), [])
    assert.deepEqual(tape.asked, ['client.example'])
    assert.deepEqual(tape.play(resolved(0, 'a@example.org')), [])
    const replies = tape.play(screened(answer), resolved(1, 'b@example.org'))
    assert.deepEqual(codes(replies), expected)
  }
})

test('an answer that is known already waits as well', () => {
  const tape = atMail(new Tape({}, true))
  assert.deepEqual(tape.play('RCPT TO:<a@example.org>', 'RCPT TO:<b@example.org>'), [])
  assert.deepEqual(codes(tape.play(screened(bad))), [550, 550])
  assert.deepEqual(codes(tape.play('RCPT TO:<c@example.org>')), [550])
})

test('postmaster takes mail from everyone, and a recipient that is none says so', () => {
  const tape = atMail(new Tape({}, true))
  tape.play('RCPT TO:<nobody@example.org>', 'RCPT TO:<postmaster>', 'RCPT TO:<POSTMASTER@example.org>')
  assert.deepEqual(codes(tape.play(screened(bad))), [550, 250, 250])
})

test('a RCPT that is no good on its own asks nothing', () => {
  const tape = atMail(new Tape())
  assert.deepEqual(codes(tape.play('RCPT TO:<a b@example.org>', 'RCPT nonsense')), [553, 501])
  assert.deepEqual(tape.asked, [])
  tape.play('RCPT TO:<a@example.org>')
  assert.deepEqual(tape.asked, ['client.example'])
})

test('another name in EHLO is looked at anew, where names count', () => {
  const tape = atMail(new Tape({}, true))
  tape.play('RCPT TO:<a@example.org>', screened(good))
  tape.play('EHLO client.example', 'MAIL FROM:<>', 'RCPT TO:<a@example.org>')
  assert.deepEqual(tape.asked, [])
  tape.play('EHLO other.example', 'MAIL FROM:<>', 'RCPT TO:<a@example.org>')
  assert.deepEqual(tape.asked, ['other.example'])
  const blind = atMail(new Tape({ helo: false }, true))
  blind.play('RCPT TO:<a@example.org>')
  assert.deepEqual(blind.asked, [null])
  blind.play(screened(good), 'EHLO other.example', 'MAIL FROM:<>', 'RCPT TO:<a@example.org>')
  assert.deepEqual(blind.asked, [])
})

test('what was asked before the greeting is asked again for EHLO only', () => {
  const tape = new Tape({ when: 'connect', helo: true }, true)
  tape.play(go, screened(good))
  atMail(tape).play('RCPT TO:<a@example.org>')
  assert.deepEqual(tape.asked, ['client.example'])
  const blind = new Tape({ when: 'connect', helo: false }, true)
  blind.play(go, screened(good))
  blind.play('EHLO x.example', 'MAIL FROM:<>', 'RCPT TO:<a@example.org>')
  assert.deepEqual(blind.asked, [])
})

test('a client that goes while it is looked at is forgotten', () => {
  const tape = atMail(new Tape())
  tape.play('RCPT TO:<a@example.org>', { kind: 'gone' })
  assert.deepEqual(tape.play(screened(bad), resolved(0, 'a@example.org')), [])
})

test('the header tells the score and what led to it, from tag-score on', () => {
  const tape = atMail(new Tape({ deferScore: null }, true))
  tape.play('RCPT TO:<a@example.org>', screened(odd))
  assert.equal(
    scoreHeader({ screening }, tape.state),
    'X-Posthorn-Score: 3\r\n\t(bl.example 5,\r\n\twl.example -2)\r\n',
  )
  assert.equal(scoreHeader({ screening: null }, tape.state), '')
  assert.equal(scoreHeader({ screening }, { standing: null }), '')
})

const greylisted = (n: number, wait: number, known = false): Event => ({
  kind: 'greylisted',
  n,
  answer: { wait, known },
})
const asksGreylist = (tape: Tape) =>
  tape.effects.flatMap((one) => (one.kind === 'greylist' ? [`${one.n} ${one.recipient}`] : []))

test('greylisted: only who would be taken is asked about, and replies keep their order', () => {
  const tape = atMail(new Tape({ greylistScore: 0 }, true))
  tape.play('RCPT TO:<a@example.org>', 'RCPT TO:<nobody@example.org>', 'RCPT TO:<b@example.org>')
  assert.deepEqual(tape.play(screened(good)), [])
  assert.deepEqual(asksGreylist(tape), ['0 a@example.org', '2 b@example.org'])
  assert.deepEqual(tape.play(greylisted(2, 300)), [])
  const replies = tape.play(greylisted(0, 0))
  assert.deepEqual(codes(replies), [250, 550, 450])
  assert.equal(replies[2], '450 4.7.1 Not known here yet, come again later (300 s)')
  assert.deepEqual(tape.play('RCPT TO:<c@example.org>'), [])
  assert.deepEqual(codes(tape.play({ kind: 'greylisted', n: 3, answer: null })), [250])
})

test('once the network is known nobody is asked about any more; postmaster never is', () => {
  const tape = atMail(new Tape({ greylistScore: 0 }, true))
  tape.play('RCPT TO:<postmaster>', screened(good))
  assert.deepEqual(asksGreylist(tape), [])
  tape.play('RCPT TO:<a@example.org>')
  assert.deepEqual(asksGreylist(tape), ['1 a@example.org'])
  assert.deepEqual(codes(tape.play(greylisted(1, 0, true), 'RCPT TO:<b@example.org>')), [250, 250])
  assert.deepEqual(asksGreylist(tape), [])
})

test('below its score, and where nothing is known of the client, there is no greylisting', () => {
  const low = atMail(new Tape({ greylistScore: 1 }, true))
  assert.deepEqual(codes(low.play('RCPT TO:<a@example.org>', screened(good))), [250])
  const blind = atMail(new Tape({ greylistScore: 0 }, true))
  assert.deepEqual(codes(blind.play('RCPT TO:<a@example.org>', screened(null))), [250])
})
