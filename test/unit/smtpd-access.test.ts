/** Access rules: which one decides, and what a session makes of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  compileAccess,
  isWelcome,
  rulesBeforeName,
  rulesFor,
  rulingOn,
  tagHeaders,
  whyTurnedAway,
} from '../../services/smtpd/access.ts'
import { openSession, step } from '../../services/smtpd/session.ts'
import type { Effect, Event, Moment, Screening, State } from '../../services/smtpd/state.ts'
import { loadConfigText, printProblems } from '../../shared/config/check.ts'
import { Player, settingOf } from '../dialogue/player.ts'
import { listenerSlice, resolveByName } from '../system/smtpd-stage.ts'

/** There are no maps. */
const nobody = { client: '', lookUp: () => null }

/** As a config has them. */
function rulesOf(...rules: string[]) {
  const text = `listener "mx" { port 25; access "a"; };\naccess "a" {\n${rules.join('\n')}\n};\nzone "." { type remote; };`
  const machine = { asCaller: true, uid: 1, gid: 1, hostname: 'mx.example.org', interfaces: [] }
  const checked = loadConfigText(text, '/etc/posthorn.conf', machine)
  if (checked.kind === 'bad') throw new Error(printProblems(checked.problems))
  return compileAccess(checked.slices.smtpd.listeners[0]?.access ?? [])
}

function ruled(rules: ReturnType<typeof rulesOf>, client: string, helo: string, sender: string, to: string) {
  const found = rulingOn(
    rulesFor(rules, client, ''),
    { name: helo, extended: true },
    { sender },
    { address: to },
    nobody,
  )
  return found && [found.ruling.action, found.ruling.place.split(':')[1], found.refusal?.text ?? '']
}

test('the first rule whose conditions all hold decides, and its line is known', () => {
  const rules = rulesOf(
    'rule client { 192.0.2.0/24; } sender "*@Bad.Example" reject "go away";',
    'rule helo "*.local" "localhost" defer;',
    'rule sender "<>" recipient "list@*" discard;',
    'rule sender "bad.example" hold;',
    'rule client { 2001:db8::/32; } accept;',
    'rule recipient "bücher.example" redirect "Anna@Example.org";',
  )
  assert.deepEqual(ruled(rules, '192.0.2.7', 'x', 'me@BAD.example', 'a@b.example'), [
    'reject',
    '3',
    'go away',
  ])
  assert.deepEqual(ruled(rules, '192.0.3.7', 'x', 'me@bad.example', 'a@b.example'), ['hold', '6', ''])
  assert.deepEqual(ruled(rules, '192.0.3.7', 'PC.LOCAL', 'me@bad.example', 'a@b.example')?.slice(0, 2), [
    'defer',
    '4',
  ])
  assert.deepEqual(ruled(rules, '192.0.3.7', 'x', '', 'list@b.example')?.slice(0, 2), ['discard', '5'])
  assert.equal(ruled(rules, '192.0.3.7', 'x', '', 'a@b.example'), null)
  assert.deepEqual(ruled(rules, '2001:db8::1', 'x', '', 'a@b.example')?.slice(0, 2), ['accept', '7'])
  assert.deepEqual(ruled(rules, '192.0.3.7', 'x', 'a@c.example', 'x@xn--bcher-kva.example')?.slice(0, 2), [
    'redirect',
    '8',
  ])
  assert.equal(ruled(rules, '192.0.3.7', 'x', 'a@xbad.example', 'a@b.example'), null)
})

test('tags are gathered until a rule decides', () => {
  const rules = rulesOf(
    'rule client { any; } tag "one";',
    'rule sender "a.example" tag "two";',
    'rule sender "a.example" accept;',
    'rule client { any; } tag "three";',
  )
  const tagsOf = (sender: string) =>
    rulingOn(rules, { name: 'x', extended: true }, { sender }, { address: 'b@c.example' }, nobody)?.ruling
      .tags
  assert.deepEqual(tagsOf('x@a.example'), ['one', 'two'])
  assert.deepEqual(tagsOf('x@b.example'), ['one', 'three'])
  assert.equal(tagHeaders({ tags: ['one', 'two'] }), 'X-Posthorn-Tag: one\r\nX-Posthorn-Tag: two\r\n')
})

test('a client that the first rule about it sends away is not greeted', () => {
  const rules = rulesOf(
    'rule client { 192.0.2.1; } accept;',
    'rule client { 192.0.2.0/30; } reject "no";',
    'rule client { 198.51.100.0/24; } defer;',
    'rule client { 203.0.113.0/24; } sender "a.example" reject;',
    'rule client { 203.0.113.0/24; } reject;',
  )
  const away = (client: string) => {
    const found = whyTurnedAway(rulesFor(rules, client, ''))
    return found && `${found.reply.code} ${found.reply.text} ${found.place}`
  }
  assert.equal(away('192.0.2.1'), null)
  assert.ok(isWelcome(rulesFor(rules, '192.0.2.1', '')))
  assert.equal(away('192.0.2.2'), '554 no /etc/posthorn.conf:4:1')
  assert.equal(away('198.51.100.1'), '421 Access denied for now, try again later /etc/posthorn.conf:5:1')
  assert.equal(away('203.0.113.1'), null, 'what sender it has comes first')
  assert.equal(away('192.0.9.9'), null)
  assert.ok(!isWelcome(rulesFor(rules, '192.0.9.9', '')))
})

const screening: Screening = {
  name: 's',
  when: 'recipient',
  tagScore: null,
  deferScore: null,
  rejectScore: 1,
  greylistScore: null,
  helo: false,
}

class Tape {
  state: State = openSession(null)
  effects: Effect[] = []
  readonly #access: ReturnType<typeof rulesOf>
  readonly #screening: Screening | null
  constructor(rules: string[], screened = false) {
    this.#access = rulesOf(...rules)
    this.#screening = screened ? screening : null
    this.play(
      { kind: 'opened', answer: { kind: 'go' } },
      'EHLO client.example',
      'MAIL FROM:<x@client.example>',
    )
  }
  /** Questions about recipients are answered at once. */
  play(...events: (Event | string)[]): number[] {
    this.effects = []
    const now: Moment = {
      time: 0,
      intake: { state: 'go', reason: '', storage: false },
      isFull: () => false,
      knownAnswer: (question) => resolveByName(question),
      lookUp: () => null,
      takeId: () => 7,
      random: (octets) => Buffer.alloc(octets),
    }
    const setting = settingOf(listenerSlice(), { access: this.#access, screening: this.#screening })
    for (const one of events) {
      const event: Event = typeof one === 'string' ? { kind: 'line', text: one } : one
      const next = step(setting, this.state, event, now)
      this.state = next.state
      this.effects.push(...next.effects)
    }
    return this.effects.flatMap((one) => (one.kind === 'reply' ? [one.reply.code] : []))
  }
  /** What is handed over at the end of the content. */
  submitted() {
    this.play('DATA', { kind: 'content', verdict: { kind: 'whole', size: 10 } })
    return this.effects.flatMap((one) => (one.kind === 'submit' ? [one.envelope] : []))[0]
  }
}

test('rejected, deferred, taken', () => {
  const tape = new Tape(['rule recipient "a@*" reject;', 'rule recipient "b@*" defer;'])
  const to = (who: string) => `RCPT TO:<${who}@example.org>`
  assert.deepEqual(tape.play(to('a'), to('B'), to('c')), [550, 450, 250])
  assert.deepEqual(
    tape.submitted()?.recipients.map(({ address }) => address),
    ['c@example.org'],
  )
})

test('redirected: the address that was said is the original, and rights to relay are not asked for', () => {
  const tape = new Tape(['rule recipient "old@example.org" redirect "new@elsewhere.example";'])
  assert.deepEqual(tape.play('RCPT TO:<x@elsewhere.example>', 'RCPT TO:<old@example.org>'), [550, 250])
  assert.deepEqual(tape.submitted()?.recipients, [
    { address: 'new@elsewhere.example', original: 'old@example.org' },
  ])
})

test('held and tagged: the whole message', () => {
  const tape = new Tape(['rule recipient "b@*" hold;', 'rule recipient "a@*" tag "t";'])
  tape.play('RCPT TO:<a@example.org>', 'RCPT TO:<b@example.org>', 'DATA')
  const [receive] = tape.effects.filter((one) => one.kind === 'receive')
  assert.deepEqual(receive?.kind === 'receive' && receive.transaction.tags, ['t'])
  tape.play({ kind: 'content', verdict: { kind: 'whole', size: 1 } })
  const [submit] = tape.effects.filter((one) => one.kind === 'submit')
  assert.equal(submit?.kind === 'submit' && submit.envelope.onHold, true)
})

test('discarded: for one recipient, or for all of them', () => {
  const rules = ['rule recipient "trap@*" discard;']
  const one = new Tape(rules)
  assert.deepEqual(one.play('RCPT TO:<trap@nowhere.example>', 'RCPT TO:<a@example.org>'), [250, 250])
  assert.deepEqual(
    one.submitted()?.recipients.map(({ address }) => address),
    ['a@example.org'],
  )
  const all = new Tape(rules)
  all.play('RCPT TO:<trap@example.org>', 'DATA')
  assert.deepEqual(all.play({ kind: 'content', verdict: { kind: 'whole', size: 10 } }), [250])
  assert.deepEqual(
    all.effects.map(({ kind }) => kind),
    ['drop', 'reply', 'ended'],
  )
  assert.equal(all.state.phase.at, 'ready')
})

test('who is accepted by a rule is not looked at, and gets through beside others who are', () => {
  const tape = new Tape(['rule recipient "open@*" accept;'], true)
  assert.deepEqual(tape.play('RCPT TO:<open@example.org>'), [250])
  assert.ok(!tape.effects.some(({ kind }) => kind === 'screen'))
  assert.deepEqual(tape.play('RCPT TO:<a@example.org>', 'RCPT TO:<open@example.org>'), [])
  const answer = { score: 1, signs: [{ name: 'bl.example', score: 1 }] }
  assert.deepEqual(tape.play({ kind: 'screened', answer }), [550, 250])
})

test('a mark by whom the header names is on top all the same, small or large', async () => {
  const access = rulesOf(
    'rule recipient "a@example.org" tag "by RCPT";',
    'rule recipient "b@example.org" tag "by header";',
  )
  for (const octets of [10, 300_000]) {
    const player = new Player({ kind: 'submission' }, { setting: { access, mayRelay: true } })
    const say = (...lines: string[]) => player.write(Buffer.from(`${lines.join('\r\n')}\r\n`))
    await say('EHLO x')
    await say('MAIL FROM:<ann@example.org> RCPTHDR', 'RCPT TO:<a@example.org>', 'DATA')
    await say('To: b@example.org', '', 'y'.repeat(octets), '.')
    const [message] = player.messages
    const text = message?.content.toString() ?? ''
    assert.match(text.slice(0, 100), /^X-Posthorn-Tag: by RCPT\r\nX-Posthorn-Tag: by header\r\n[A-Z]/)
    assert.equal(message?.envelope.size, text.length)
  }
})

test('whom the header names (RCPTHDR) passes the same rules', async () => {
  const access = rulesOf(
    'rule recipient "barred@example.org" reject "not there";',
    'rule recipient "void@example.org" discard;',
    'rule recipient "old@example.org" redirect "new@example.org";',
  )
  const player = new Player({ kind: 'submission' }, { setting: { access, mayRelay: true } })
  const say = (...lines: string[]) => player.write(Buffer.from(`${lines.join('\r\n')}\r\n`))
  await say('EHLO x')
  await say('MAIL FROM:<ann@example.org> RCPTHDR', 'DATA')
  player.takeOutput()
  await say('To: barred@example.org, void@example.org, old@example.org', '', 'x', '.')
  assert.match(player.takeOutput(), /<barred@example\.org> refused: 550 \S+ not there/)
  assert.deepEqual(
    player.messages[0]?.envelope.recipients.map(({ address }) => address),
    ['new@example.org'],
  )
})

test('by the name of a client, and never by one that cannot be told', () => {
  const rules = rulesOf(
    'rule client { name "*.bad.example"; } reject "not you";',
    'rule client { name "*.good.example"; } accept;',
    'rule sender "shop.example" reject "no shops";',
  )
  const fate = (name: string | null) => {
    const own = rulesFor(rules, '192.0.2.1', name)
    const hello = { name: 'pc', extended: true }
    const found = rulingOn(own, hello, { sender: 'a@shop.example' }, { address: 'b@b.example' }, nobody)
    return [whyTurnedAway(own)?.reply.code ?? 0, found?.ruling.action ?? '', found?.refusal?.code ?? 0]
  }
  assert.deepEqual(fate('mx.good.example'), [0, 'accept', 0])
  assert.deepEqual(fate('pc.bad.example'), [554, 'reject', 550])
  assert.deepEqual(fate(''), [0, 'reject', 550])
  assert.deepEqual(fate(null), [0, 'defer', 450], 'it may be one of the good')
  assert.deepEqual(rulesBeforeName(rules, '192.0.2.1'), [], 'its name comes first')
})
