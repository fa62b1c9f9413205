/** What posthorn prints, from entries and figures to text. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatSize, formatSpan, oneLine, renderTable } from '../../commands/posthorn/figures.ts'
import {
  addToTotal,
  entryToJson,
  messageToJson,
  newTotal,
  planToJson,
  renderEntries,
  renderMessage,
  renderPlan,
  renderTotal,
} from '../../commands/posthorn/queue-view.ts'
import { renderStatus } from '../../commands/posthorn/status-view.ts'
import type { QueueEntry } from '../../shared/bus/queue.ts'

const now = Date.UTC(2026, 0, 2, 12)
const entry: QueueEntry = {
  id: 268_435_456,
  n: 0,
  sender: 'ann@x.org',
  recipient: 'bob@y.org',
  size: 4096,
  receivedAt: now - 3_700_000,
  state: 'deferred',
  attempts: 2,
  nextAttemptAt: now + 90_000,
  destination: 'mx.y.org',
  lastReply: { code: 451, enhanced: '4.2.0', text: 'not\nnow \u001b[2J', host: 'mx.y.org' },
  repliedAt: now - 60_000,
  doubts: 0,
  removedAt: null,
}

test('sizes and spans', () => {
  assert.deepEqual([0, 512, 4096, 40_000, 5 << 20].map(formatSize), ['0B', '512B', '4.0K', '39K', '5.0M'])
  assert.deepEqual([0, -5, 59_000, 60_000, 61_000, 3_600_000, 3_660_000, 90_000_000].map(formatSpan), [
    '0s',
    '0s',
    '59s',
    '1m',
    '1m1s',
    '1h',
    '1h1m',
    '1d1h',
  ])
})

test('the list: a line for each recipient, the last reply below it, nothing that moves the cursor', () => {
  assert.equal(
    renderEntries([entry], now, true),
    [
      'ID       SIZE  AGE   STATE     TRIES  NEXT   SENDER       RECIPIENT',
      'T4FTI4G  4.0K  1h1m  deferred  2      1m30s  <ann@x.org>  <bob@y.org>',
      '    mx.y.org: 451 4.2.0 not now  [2J',
      '',
    ].join('\n'),
  )
  const held: QueueEntry = { ...entry, state: 'held', nextAttemptAt: null, lastReply: null, sender: '' }
  assert.match(renderEntries([held], now, false), /^T4FTI4G .* held +2 +- +<> +<bob@y.org>\n$/)
})

test('what was removed and what is in doubt says so', () => {
  const lines = renderEntries([{ ...entry, state: 'removed', removedAt: now - 5000, doubts: 2 }], now, false)
  assert.match(lines, /\n {4}removed 5s ago\n {4}mx.y.org: 451 .*\n {4}in doubt: 2 attempts got no answer/)
})

test('totals count messages where their recipients come together', () => {
  const total = newTotal({})
  assert.equal(renderTotal(total), 'The queue is empty.\n')
  for (const id of [1, 1, 2]) addToTotal(total, { ...entry, id })
  assert.equal(renderTotal(total), '2 messages to 3 recipients, 8.0K.\n')
  const scattered = newTotal({ recipient: 'a*' })
  addToTotal(scattered, entry)
  assert.equal(renderTotal(scattered), '1 recipient.\n')
})

test('a dry run counts, shows some, and says how many more', () => {
  const plan = { kind: 'planned' as const, recipients: 12, sample: [entry] }
  assert.match(
    renderPlan('held', plan, now),
    /^would be held: 12 recipients\nID .*\nT4FTI4G .*[\s\S]*\nand 11 more\n$/,
  )
  const read = JSON.parse(planToJson('hold', plan)) as { recipients: number; sample: { id: string }[] }
  assert.deepEqual([read.recipients, read.sample[0]?.id], [12, 'T4FTI4G'])
  assert.equal(
    renderPlan('held', { ...plan, recipients: 0, sample: [] }, now),
    'would be held: 0 recipients\n',
  )
})

test('JSON: one object on one line, ids as people write them, times as ISO 8601', () => {
  const text = entryToJson(entry)
  assert.equal(text.indexOf('\n'), text.length - 1)
  const read = JSON.parse(text) as Record<string, unknown>
  assert.equal(read['id'], 'T4FTI4G')
  assert.equal(read['nextAttemptAt'], '2026-01-02T12:01:30.000Z')
  assert.equal(read['recipient'], 'bob@y.org')
})

test('one message: its envelope, its recipients, its header', () => {
  const found = {
    kind: 'found' as const,
    envelope: {
      id: entry.id,
      sender: 'ann@x.org',
      recipients: [{ address: 'bob@y.org' }, { address: 'carl@y.org' }],
      size: 4096,
      body: '7bit' as const,
      smtputf8: false,
      receivedAt: entry.receivedAt,
      origin: { listener: 'local', session: 'S1', client: '', uid: 1000 },
    },
    entries: [{ ...entry, doubts: 1 }],
    history: [
      { n: 0, at: now - 120_000, reply: { code: 0, enhanced: '', text: 'gone', host: 'old' }, inDoubt: true },
    ],
    header: Buffer.from('Subject: \u001b[31mred\r\n\tfolded\r\n'),
  }
  const text = renderMessage(found, now)
  assert.match(text, /received +2026-01-02T10:58:20.000Z by local from uid 1000\n/)
  assert.match(text, /\nSubject: \?\[31mred\n\tfolded\n$/)
  assert.match(text, /\ndone +<carl@y.org>\n/)
  assert.match(
    text,
    /<bob@y.org>\n {4}2m ago: old: 0 gone \(in doubt\)\n {4}1m ago: mx.y.org: 451 .*\n {4}in doubt: 1 attempt got/,
  )
  const read = JSON.parse(messageToJson(found)) as {
    envelope: { id: string }
    entries: { id: string; inDoubt: boolean }[]
    history: { at: string }[]
    done: string[]
  }
  assert.deepEqual([read.envelope.id, read.entries[0]?.id], ['T4FTI4G', 'T4FTI4G'])
  assert.deepEqual([read.entries[0]?.inDoubt, read.done], [true, ['carl@y.org']])
  assert.equal(read.history[0]?.at, '2026-01-02T11:58:00.000Z')
})

test('tables are as wide as they need to be', () => {
  assert.equal(
    renderTable([
      ['a', 'b'],
      ['long', 'c'],
    ]),
    'a     b\nlong  c\n',
  )
  assert.equal(oneLine('a\r\nb\0c '), 'a b c')
})

test('status tells of processes, queue and what is off', () => {
  const status = {
    build: '1.0',
    epoch: 3,
    configFile: '/p.conf',
    startedAt: now - 60_000,
    processes: [
      {
        name: 'smtpd-1',
        role: 'smtpd',
        pid: null,
        state: 'given-up' as const,
        uid: null,
        startedAt: null,
        restarts: 5,
        lastExit: 'signal SIGSEGV',
        figures: {},
      },
    ],
    missing: ['no root'],
  }
  const queue = {
    ...{ active: 1, deferred: 2, held: 3, removed: 0, octets: 1024, sessions: 4, accepted: 5, delivered: 6 },
    intake: 'refuse' as const,
    reason: 'disk-space',
    ...{ localSessions: 1, waitingSessions: 2, limited: 7 },
    ...{ logins: 3, failedLogins: 2, brakedLogins: 1 },
    throttles: [
      {
        ...{ resource: 'disk-space', state: 'refuse' as const, since: now - 90_000, value: 1 << 20 },
        ...{ unit: 'octets' as const, wait: 70 << 20, refuse: 64 << 20, relief: 70 << 20 },
      },
      {
        ...{ resource: 'lag smtpd-1', state: 'go' as const, since: now, value: 1.5 },
        ...{ unit: 'milliseconds' as const, wait: 1000, refuse: 10_000, relief: 500 },
      },
    ],
    fullDestinations: ['mx.example.org'],
    suspended: [],
    dead: [],
  }
  const text = renderStatus(status, queue, now)
  assert.match(text, /^Posthorn 1.0, up 1m, configuration 3 from \/p.conf\n/)
  assert.match(text, /1 active, 2 deferred, 3 held \(1.0K active\).*new mail is refused: disk-space/)
  assert.match(text, /4 sessions \(1 local, 2 waiting\); 7 refused by limits; 3 logins, 2 failed, 1 braked/)
  assert.match(text, /disk-space +refuse +1m30s +1.0M +70M +64M +70M\nlag smtpd-1 +go +0s +2ms +1000ms /)
  assert.match(text, /Destinations that take no more:\n {2}mx.example.org\n/)
  assert.match(text, /smtpd-1 +given-up +- +- +- +5 /)
  assert.match(text, /smtpd-1 last left with signal SIGSEGV/)
  assert.match(text, /Off here:\n {2}no root\n$/)
  assert.match(renderStatus(status, { ...queue, removed: 8 }, now), /3 held, 8 removed \(1.0K active\)/)
  const reply = { code: 421, enhanced: '4.7.0', text: 'blocked\nby \u001b[1m', host: 'mx.example' }
  const suspended = [
    { group: 'server big', until: now + 90_000, retryClass: 'block', reply, hint: 'ask them' },
    { group: 'mx', until: now - 1, retryClass: 'x', reply },
  ]
  const dead = [{ destination: 'mx.away.example', until: now + 30_000 }]
  const quiet = renderStatus(status, { ...queue, suspended, dead }, now)
  assert.match(
    quiet,
    /Sending is suspended:\n {2}server big: for 1m30s \(block\), as mx.example said: 421 4.7.0 blocked/,
  )
  assert.match(quiet, /\n {4}hint: ask them\n {2}mx: for 0s/)
  assert.match(quiet, /Destinations that do not answer:\n {2}mx.away.example: tried again in 30s\n/)
  assert.ok(!quiet.includes('\u001b'))
  assert.match(renderStatus(status, null, now), /The queue does not answer/)
})
