/**
 * Maps in a session: commands wait for answers, keep their order, and are taken once more.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileAccess } from '../../services/smtpd/access.ts'
import { MapAnswers } from '../../services/smtpd/map-answers.ts'
import { mayTake, openSession, step } from '../../services/smtpd/session.ts'
import type { Effect, Event, MapQuestion, Moment, Setting, State } from '../../services/smtpd/state.ts'
import type { AccessRuleSlice } from '../../shared/config/slices.ts'
import { settingOf } from '../dialogue/player.ts'
import { listenerSlice, resolveByName } from '../system/smtpd-stage.ts'

const rule = (maps: AccessRuleSlice['maps'], place: string, sender: string[] = []): AccessRuleSlice => ({
  ...{ place, client: null, helo: [], sender, recipient: [], maps },
  action: { kind: 'reject', text: place },
})

class Session {
  state: State = openSession(null)
  asked: MapQuestion[] = []
  readonly answers: MapAnswers
  readonly #setting: Setting
  time = 0

  constructor(...rules: AccessRuleSlice[]) {
    this.answers = new MapAnswers(() => this.time)
    this.#setting = settingOf(listenerSlice(), { access: compileAccess(rules), mapped: true })
    this.play({ kind: 'opened', answer: { kind: 'go' } }, 'EHLO client.example')
  }

  /** Replies: code and text. */
  play(...events: (Event | string)[]): string[] {
    const effects: Effect[] = []
    const now: Moment = {
      time: 0,
      intake: { state: 'go', reason: '', storage: false },
      isFull: () => false,
      knownAnswer: (question) => resolveByName(question),
      lookUp: (question) => this.answers.get(question),
      takeId: () => 7,
      random: (octets) => Buffer.alloc(octets),
    }
    for (const one of events) {
      const event: Event = typeof one === 'string' ? { kind: 'line', text: one } : one
      const next = step(this.#setting, this.state, event, now)
      this.state = next.state
      effects.push(...next.effects)
    }
    const asked = effects.flatMap((effect) => (effect.kind === 'look-up' ? effect.questions : []))
    if (asked.length > 0) this.asked = asked
    return effects.flatMap((effect) =>
      effect.kind === 'reply' ? [`${effect.reply.code} ${effect.reply.text}`] : [],
    )
  }

  mayTake(text: string): boolean {
    return mayTake(this.#setting, this.state, text)
  }

  answer(values: Record<string, string>): string[] {
    const { asked } = this
    this.asked = []
    this.answers.put(
      asked,
      asked.map(({ map, key }) => {
        const value = values[`${map} ${key}`]
        if (value === 'TROUBLE') return { kind: 'trouble', why: 'x' }
        return value === undefined ? { kind: 'missing' } : { kind: 'found', key, value }
      }),
    )
    return this.play({ kind: 'looked-up' })
  }
}

test('RCPT waits for all the maps of its rules, and nothing is taken meanwhile', () => {
  const session = new Session(
    rule([{ about: 'client', map: 'c' }], 'one'),
    rule(
      [
        { about: 'sender', map: 's' },
        { about: 'recipient', map: 'r' },
      ],
      'two',
      ['*@b.example'],
    ),
  )
  session.play('MAIL FROM:<a@b.example>')
  assert.deepEqual(session.play('RCPT TO:<anna@example.org>'), [])
  assert.deepEqual(
    session.asked.map(({ map, use, key }) => `${map} ${use} ${key}`),
    ['c client 127.0.0.1', 's address a@b.example', 'r address anna@example.org'],
  )
  assert.equal(session.mayTake('RCPT TO:<ben@example.org>'), false)
  assert.deepEqual(session.play({ kind: 'timeout', limit: 'command' }), [], 'it waits for us')
  const [reply = ''] = session.answer({ 's a@b.example': 'x' })
  assert.match(reply, /^250 /)
  assert.deepEqual(session.play('RCPT TO:<ben@example.org>'), [])
  assert.deepEqual(
    session.asked.map(({ map }) => map),
    ['r'],
    'what was said a moment ago is not asked again',
  )
  assert.deepEqual(session.answer({ 'r ben@example.org': '' }), ['550 two'])
})

test('a map in trouble puts off, and never refuses', () => {
  const session = new Session(rule([{ about: 'recipient', map: 'r' }], 'no'))
  session.play('MAIL FROM:<a@b.example>', 'RCPT TO:<anna@example.org>')
  const [reply = ''] = session.answer({ 'r anna@example.org': 'TROUBLE' })
  assert.match(reply, /^451 /)
  session.time += 1000
  session.play('RCPT TO:<anna@example.org>')
  assert.equal(session.asked.length, 1, 'trouble is not remembered')
  const [again = ''] = session.answer({})
  assert.match(again, /^250 /)
})

test('a client that goes while maps are asked leaves nothing behind', () => {
  const session = new Session(rule([{ about: 'recipient', map: 'r' }], 'no'))
  session.play('MAIL FROM:<a@b.example>', 'RCPT TO:<anna@example.org>')
  session.play({ kind: 'gone' })
  assert.equal(session.state.phase.at, 'closed')
  assert.deepEqual(session.answer({}), [])
})

test('a server that drains lets the command finish first', () => {
  const session = new Session(rule([{ about: 'recipient', map: 'r' }], 'no'))
  session.play('MAIL FROM:<a@b.example>', 'RCPT TO:<anna@example.org>')
  assert.deepEqual(session.play({ kind: 'drain' }), [])
  assert.match(session.answer({})[0] ?? '', /^250 /)
  assert.match(session.play('RSET').at(-1) ?? '', /shut/i)
})

test('answers are kept for a moment, and bounded', () => {
  let time = 0
  const answers = new MapAnswers(() => time)
  const question = (n: number): MapQuestion => ({ map: 'm', use: 'address', key: `u${n}` })
  answers.put([question(0)], null)
  assert.equal(answers.get(question(0))?.kind, 'trouble')
  for (let n = 1; n <= 10_001; n++) answers.put([question(n)], [{ kind: 'missing' }])
  assert.equal(answers.get(question(0)), null)
  assert.equal(answers.get(question(10_001))?.kind, 'missing')
  time = 2001
  assert.equal(answers.get(question(10_001)), null)
  assert.equal(answers.last(question(10_001))?.kind, 'missing')
})
