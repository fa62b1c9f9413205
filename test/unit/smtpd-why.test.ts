/** XWHY without a socket: what is said to whom, where it may be asked, and what the resolver tells of an address. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Directory, MOST_ENDS } from '../../services/resolver/expansion.ts'
import { explain, MOST_EXPLAINED } from '../../services/resolver/explanation.ts'
import { ZoneTable } from '../../services/resolver/zones.ts'
import { authorOf, judgeOf, type Rights, unrestricted } from '../../services/smtpd/rights.ts'
import type { Setting } from '../../services/smtpd/state.ts'
import { whyTo } from '../../services/smtpd/why.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import { parseAliasFile } from '../../shared/config/alias-file.ts'
import { emptyBook } from '../../shared/config/rule-book.ts'
import type { ZoneSlice } from '../../shared/config/slices.ts'
import { Player, settingOf } from '../dialogue/player.ts'
import { listenerSlice } from '../system/smtpd-stage.ts'

const rules = {
  ...emptyBook,
  listeners: { mx: [{ text: 'listener "mx"', place: 'a.conf:1:1' }] },
  policies: {
    web: [
      { text: 'policy "web"', place: 'b.conf:2:1' },
      { text: 'trusted', place: 'b.conf:3:3' },
      { text: 'deny', place: 'b.conf:4:3' },
    ],
  },
  uids: [{ text: 'uid connections 100', place: '' }],
}

function changeOf(change: Partial<Rights>): Partial<Setting> {
  const rights = { ...unrestricted, ...change }
  const author = authorOf({ name: 'ann', uid: 7, fullName: '', groups: [] }, 'example.org')
  const judge = judgeOf(rights, author, { qualifyDomain: 'example.org', delimiter: '+' })
  return { kind: 'local', listener: 'mx#2', uid: 7, rules, rights, author, judge, mayRelay: true }
}

/** The reply to the last line, without codes. */
async function said(change: Partial<Rights>, ...lines: string[]): Promise<string[]> {
  const player = new Player({ kind: 'local' }, { setting: changeOf(change) })
  await player.write(Buffer.from('EHLO x\r\n'))
  player.takeOutput()
  await player.write(Buffer.from(`${lines.join('\r\n')}\r\n`))
  return player
    .takeOutput()
    .trim()
    .split('\r\n')
    .map((line) => line.replace(/^250[- ]2\.0\.0 /, ''))
}

const policy = { policy: 'web', place: 'b.conf:2:1' }

test('about the client: listener, caller, policy or that there is none', async () => {
  assert.deepEqual(await said({}, 'XWHY'), [
    'listener "mx": a.conf:1:1',
    'caller: uid 7, <ann@example.org>',
    'no policy fits: all senders are allowed',
    'uid connections 100: by default',
  ])
  assert.ok((await said(policy, 'XWHY')).includes('policy "web": b.conf:2:1'))
  assert.ok((await said({ mail: 'no' }, 'XWHY')).some((line) => /without a login name/.test(line)))
})

test('about senders: the option that decides', async () => {
  const senders = { patterns: ['ann@example.org'], place: 'b.conf:9:3' }
  assert.deepEqual(await said({ ...policy, senders }, 'XWHY FROM:<boss@x.example>'), [
    '<boss@x.example> refused: 550 5.7.1 You may not send as that sender',
    'senders of policy "web": b.conf:9:3',
  ])
  assert.deepEqual(await said({ ...policy, senders, trusted: true }, 'XWHY FROM:<boss@x.example>'), [
    '<boss@x.example> taken: 250 2.1.0 Sender ok',
    'trusted of policy "web": b.conf:3:3',
  ])
  assert.equal(
    (await said({ ...policy, mail: 'no' }, 'XWHY FROM:<ann>'))[1],
    'deny of policy "web": b.conf:4:3',
  )
  assert.equal((await said({ ...policy, senders }, 'XWHY FROM:<>'))[1], 'policy "web" allows any: b.conf:2:1')
  assert.deepEqual(await said(policy, 'XWHY AUTHOR:<boss@x.example>'), [
    '<boss@x.example> taken: 250 2.0.0 Ok',
    'policy "web" allows any: b.conf:2:1',
    'Sender will name <ann@example.org>',
  ])
})

test('questions may be put one behind another, and none opens a transaction', async () => {
  const lines = await said(
    {},
    'XWHY TO:<a@example.org>',
    'XWHY TO:<nobody@example.org>',
    'RCPT TO:<a@example.org>',
  )
  assert.deepEqual(lines.slice(0, 3), [
    '<a@example.org> taken: 250 2.1.5 Recipient ok',
    '<a@example.org>: its route is not known yet',
    '<nobody@example.org> refused: 550 5.1.1 No such user',
  ])
  assert.match(lines[3] ?? '', /^503 /)
})

test('nonsense, and other listeners', async () => {
  for (const line of ['XWHY TO:', 'XWHY TO:<a@x> SIZE=1', 'XWHY HOW:<a@x>', 'XWHY what'])
    assert.match((await said({}, line))[0] ?? '', /^501 5\.5\.4 /, line)
  assert.match((await said({}, 'XWHY TO:<a b@x>'))[0] ?? '', /refused: 553 5\.1\.3/)
  const player = new Player({ kind: 'submission' }, { setting: { ...changeOf({}), kind: 'submission' } })
  await player.write(Buffer.from('EHLO x\r\nXWHY\r\nHELP\r\n'))
  const output = player.takeOutput()
  assert.match(output, /\r\n500 5\.5\.2 /)
  assert.equal(output.includes('XWHY'), false)
})

const found: Answer<'resolve'> = {
  kind: 'found',
  class: 'local',
  zone: 'example.org',
  targets: [{ address: 'a@example.org' }, { address: 'b@x.example' }],
  why: ['zone "example.org" local: z:1:1', 'alias "team": /etc/aliases:4', 'zone "." remote: z:2:1'],
}

function toldOf(change: Partial<Rights>, answer: Answer<'resolve'> | null): string[] {
  const setting = settingOf(listenerSlice({ kind: 'local' }), changeOf(change))
  const state = new Player().state
  const moment = { isFull: () => false } as unknown as Parameters<typeof whyTo>[0]['now']
  const phase = {
    at: 'why',
    hello: { name: 'x', extended: true },
    address: 'team@example.org',
    rules: [],
  } as const
  const { effects, state: next } = whyTo({ setting, state, now: moment }, phase, answer)
  assert.equal(next.phase.at, 'ready')
  return effects.flatMap((effect) => (effect.kind === 'reply' ? effect.reply.text.split('\n') : []))
}

test('what an alias stands for is told to who is trusted', () => {
  assert.deepEqual(toldOf({}, found), [
    '<team@example.org> taken: 250 2.1.5 Recipient ok',
    'zone "example.org" local: z:1:1',
    'an alias of 2',
  ])
  const all = toldOf({ trusted: true }, found)
  assert.deepEqual(all.slice(1, 4), found.kind === 'found' ? found.why : [])
  assert.equal(all.at(-1), '<b@x.example>: its route is not known yet')
  assert.match(toldOf({}, null)[0] ?? '', /later: 451 4\.4\.3/)
})

test('the resolver names zones, aliases and files, so many and no more', () => {
  const zone = (name: string, type: ZoneSlice['type']): ZoneSlice => ({
    ...{
      name,
      type,
      cutThrough: 0,
      requireSignature: false,
      forged: 'tag',
      users: null,
      maildir: null,
      hosts: [],
      relay: null,
      routing: [],
      reply: null,
      encryption: null,
    },
    aliases: [{ kind: 'file', path: '/etc/aliases' }],
    recipients: null,
  })
  const table = new ZoneTable([zone('example.org', 'local'), zone('.', 'remote')])
  const many = Array.from({ length: MOST_ENDS / 2 }, (_none, n) => `a${n}: x@x.example\n`).join('')
  const whole = `team: ann, far@x.example\nall: ${Array.from({ length: MOST_ENDS / 2 }, (_none, n) => `a${n}`).join(', ')}\n${many}`
  const file = parseAliasFile(whole).value
  const directory: Directory = {
    zone: (domain) => table.find(domain),
    alias: (_zone, name) => file.get(name) ?? null,
    user: (_zone, name) => (name === 'ann' ? { name, uid: 1, gid: 1, home: '/', maildir: null } : null),
    primary: table.primary,
    delimiter: '+',
  }
  const places = {
    zones: { 'example.org': 'z:1:1', '.': 'z:2:1' },
    aliasPlace: (_zone: ZoneSlice, { line }: { line: number }) => `/etc/aliases:${line}`,
  }
  assert.deepEqual(explain({ local: 'team', domain: 'example.org' }, directory, places), [
    'zone "example.org" local: z:1:1',
    'alias "team": /etc/aliases:1',
    'user "ann": /etc/passwd',
    'zone "." remote: z:2:1',
  ])
  const lines = explain({ local: 'all', domain: 'example.org' }, directory, places)
  assert.equal(lines.length, MOST_EXPLAINED + 1)
  assert.match(lines.at(-1) ?? '', /^and \d+ more$/)
})
