/**
 * Delivery status notifications with the whole server: who asked for what hears of it in a Maildir here, whether
 * the mail went into a mailbox, to a host that reports, to one that does not, to a list, or nowhere.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { dotted, openSession } from '../support/client.ts'
import { maildirFiles, mailsIn, readMaildir } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 180_000
const EHLO = '250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n'
let sink: Sink
let posthorn: Posthorn

before(async () => {
  sink = await openSink()
  posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        relayPort: sink.port,
        qmgr: 'retry 300ms; lifetime 30s; delay-warning 1s; return-limit 4K;',
        more: `zone "lists.example" { type local; mailboxes "${paths.users}"; aliases "${paths.directory}/aliases"; };`,
      }),
    users: ['anna', 'bert', 'cora'],
  })
  writeFileSync(
    `${posthorn.paths.directory}/aliases`,
    'all: bert@local.example, cora@local.example, nobody@local.example\n',
  )
})

after(async () => {
  await posthorn.stop()
  await sink.close()
})

interface Wish {
  mail?: string
  rcpt: string[]
  from?: string
  octets?: number
}

/** One mail whose reports are for a Maildir of its own. */
async function send({
  mail = '',
  rcpt,
  from,
  octets = 300,
}: Wish): Promise<{ mark: string; content: string }> {
  const specimen = makeSpecimen(octets)
  const client = await openSession(posthorn.ports['mx'] ?? 0)
  assert.equal((await client.say(`MAIL FROM:<${from ?? 'anna@local.example'}> ${mail}`)).code, 250)
  for (const one of rcpt) assert.equal((await client.say(`RCPT TO:${one}`)).code, 250, one)
  await client.say('DATA')
  client.write(dotted(specimen.content))
  assert.equal((await client.reply()).code, 250)
  await client.quit()
  return specimen
}

/**
 * What anna has been sent since the last time. A mail to her goes behind it all: when it is there, every report
 * that was being written has been queued before it.
 */
async function reports(): Promise<string[]> {
  await posthorn.queueEmpty(60_000)
  const { mark } = await send({ from: '', rcpt: ['<anna@local.example>'] })
  await until('the fence', () =>
    readMaildir(posthorn.maildir('anna')).some(({ content }) => content.includes(mark)),
  )
  await posthorn.queueEmpty(60_000)
  const fresh = readMaildir(posthorn.maildir('anna')).filter(({ file }) => !known.has(file))
  for (const { file } of fresh) known.add(file)
  return fresh.map(({ content }) => content.toString()).filter((text) => !text.includes(mark))
}
const known = new Set<string>()

const group = (report: string, address: string) =>
  report.split('\n\n').find((part) => new RegExp(`^Final-Recipient: rfc822; ${address}$`, 'm').test(part)) ??
  ''

test('delivered: into a Maildir, told once, with the words of the sender', { timeout }, async () => {
  const { mark } = await send({
    mail: 'ENVID=QQ+2B7 RET=FULL',
    rcpt: ['<bert@local.example> NOTIFY=SUCCESS ORCPT=rfc822;Bert+2Bx@local.example', '<cora@local.example>'],
  })
  const [report, ...others] = await reports()
  assert.ok(report)
  assert.deepEqual(others, [])
  assert.match(report, /^Return-Path: <>$/m)
  assert.match(report, /^Auto-Submitted: auto-replied$/m)
  assert.match(report, /^Content-Type: multipart\/report; report-type=delivery-status;$/m)
  assert.match(report, /^Original-Envelope-Id: QQ\+7$/m)
  assert.match(group(report, 'bert@local.example'), /^Original-Recipient: rfc822; Bert\+x@local\.example$/m)
  assert.match(group(report, 'bert@local.example'), /^Action: delivered\nStatus: 2\.0\.0$/m)
  assert.equal(group(report, 'cora@local.example'), '')
  assert.match(report, new RegExp(`^X-Mark: ${mark}$`, 'm'))
  assert.match(report, /^Content-Type: text\/rfc822-headers$/m, 'RET counts for failures only')
  await mailsIn(posthorn.maildir('bert'), 1)
})

test('relayed: a host that does not offer DSN', { timeout }, async () => {
  await send({ rcpt: ['<x@relay.example> NOTIFY=SUCCESS,FAILURE', '<y@relay.example> NOTIFY=NEVER'] })
  const [report, ...others] = await reports()
  assert.ok(report)
  assert.deepEqual(others, [])
  assert.match(
    group(report, 'x@relay.example'),
    /^Action: relayed\nStatus: 2\.0\.0\nRemote-MTA: dns; 127\.0\.0\.1$/m,
  )
  assert.equal(group(report, 'y@relay.example'), '')
  assert.doesNotMatch(sink.mails.at(-1)?.commands.join('\n') ?? 'NOTIFY', /NOTIFY|ORCPT|RET|ENVID/)
})

test('handed on: a host that offers DSN has it all, and we say nothing', { timeout }, async () => {
  // another server: connections to the first one are kept, with what it offered
  const other = await openSink((stage) => (stage === 'ehlo' ? `${EHLO}250 DSN` : null))
  const second = await startPosthorn({
    config: (paths) => testConfig(paths, { relayPort: other.port }),
    users: ['anna'],
  })
  const first = posthorn
  posthorn = second
  try {
    await send({
      mail: 'RET=HDRS ENVID=QQ+2B8',
      rcpt: [
        '<x@relay.example> ORCPT=rfc822;X+2Bx@relay.example NOTIFY=delay,success',
        '<y@relay.example> NOTIFY=NEVER',
      ],
    })
    const [mail] = await other.received(1)
    await second.queueEmpty()
    assert.deepEqual(
      mail?.commands.map((line) => line.split(' ').sort().join(' ')),
      [
        'MAIL FROM:<anna@local.example> RET=HDRS ENVID=QQ+2B8',
        'RCPT TO:<x@relay.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;X+2Bx@relay.example',
        'RCPT TO:<y@relay.example> NOTIFY=NEVER',
      ].map((line) => line.split(' ').sort().join(' ')),
    )
    assert.deepEqual(maildirFiles(second.maildir('anna')), [])
  } finally {
    posthorn = first
    await second.stop()
    await other.close()
  }
})

test('failed: the whole message for RET=FULL as far as the limit goes, several recipients in one', {
  timeout,
}, async () => {
  sink.setAnswer((stage, path) =>
    stage === 'rcpt' && path.startsWith('bad') ? '550 5.1.1 no such user' : null,
  )
  const rcpt = [
    '<bad1@relay.example>',
    '<bad2@relay.example> NOTIFY=FAILURE',
    '<bad3@relay.example> NOTIFY=NEVER',
    '<bad4@relay.example> NOTIFY=SUCCESS,DELAY',
  ]
  const small = await send({ mail: 'RET=FULL', rcpt })
  const [report, ...others] = await reports()
  assert.ok(report)
  assert.deepEqual(others, [])
  assert.deepEqual(
    report.match(/^Final-Recipient: .*$/gm),
    ['bad1', 'bad2'].map((name) => `Final-Recipient: rfc822; ${name}@relay.example`),
  )
  assert.match(group(report, 'bad1@relay.example'), /^Action: failed\nStatus: 5\.1\.1$/m)
  assert.match(report, /^Content-Type: message\/rfc822$/m)
  assert.ok(report.includes(small.content.replace(/\r\n/g, '\n')), 'byte for byte')
  const large = await send({ mail: 'RET=FULL', rcpt: ['<bad1@relay.example>'], octets: 200_000 })
  const [cut] = await reports()
  assert.match(cut ?? '', /^Content-Type: text\/rfc822-headers$/m)
  assert.match(cut ?? '', new RegExp(`^X-Mark: ${large.mark}$`, 'm'))
  assert.ok((cut?.length ?? 0) < 10_000)
  sink.setAnswer(() => null)
})

test('delayed: once, and then what becomes of it', { timeout }, async () => {
  sink.setAnswer((stage) => (stage === 'rcpt' ? '450 4.2.1 mailbox busy' : null))
  await send({ rcpt: ['<slow@relay.example> NOTIFY=DELAY,SUCCESS', '<quiet@relay.example> NOTIFY=FAILURE'] })
  const fresh = () => readMaildir(posthorn.maildir('anna')).find(({ file }) => !known.has(file))
  const { content } = await until('a warning', fresh)
  const late = group(content.toString(), 'slow@relay.example')
  assert.match(late, /^Action: delayed\nStatus: 4\.2\.1$/m)
  assert.match(late, /^Will-Retry-Until: /m)
  const attempts = async () =>
    (await posthorn.queue()).find(({ recipient }) => recipient.startsWith('slow'))?.attempts ?? 0
  const tried = await attempts()
  await until('two more attempts', async () => (await attempts()) >= tried + 2)
  sink.setAnswer(() => null)
  const all = (await reports()).join('\n')
  assert.equal(all.match(/^Action: delayed$/gm)?.length, 1)
  assert.equal(all.match(/^Action: relayed$/gm)?.length, 1)
  assert.doesNotMatch(all, /quiet@/)
})

test('expanded: the list at once, its failures one by one, no success of its members', {
  timeout,
}, async () => {
  await send({ rcpt: ['<all@lists.example> NOTIFY=SUCCESS,FAILURE'] })
  const texts = await reports()
  assert.equal(texts.length, 2)
  const expanded = texts.find((text) => /^Action: expanded$/m.test(text)) ?? ''
  assert.deepEqual(expanded.match(/^Final-Recipient: .*$/gm), ['Final-Recipient: rfc822; all@lists.example'])
  const failed = texts.find((text) => /^Action: failed$/m.test(text)) ?? ''
  assert.match(group(failed, 'nobody@local.example'), /^Original-Recipient: rfc822; all@lists\.example$/m)
  await send({ rcpt: ['<all@lists.example> NOTIFY=SUCCESS'] })
  const [only, ...others] = await reports()
  assert.match(only ?? '', /^Action: expanded$/m)
  assert.deepEqual(others, [], 'nobody asked for failures')
})

test('beyond ASCII: who sent an internationalized message gets such a report', { timeout }, async () => {
  await send({ mail: 'SMTPUTF8', rcpt: ['<jürgen@relay.example> ORCPT=utf-8;j\\x{FC}rgen@x.example'] })
  const [report, ...others] = await reports()
  assert.ok(report)
  assert.deepEqual(others, [])
  assert.match(report, /^Content-Type: message\/global-delivery-status$/m)
  assert.match(report, /^Original-Recipient: utf-8; jürgen@x\.example$/m)
  assert.match(report, /^Final-Recipient: utf-8; jürgen@relay\.example\nAction: failed\nStatus: 5\.6\.7$/m)
})

test('nobody: the null reverse-path hears nothing, whatever it asked for', { timeout }, async () => {
  sink.setAnswer((stage, path) =>
    stage === 'rcpt' && path.startsWith('bad') ? '550 5.1.1 no such user' : null,
  )
  const all = 'NOTIFY=SUCCESS,FAILURE,DELAY'
  await send({
    from: '',
    rcpt: [`<bad@relay.example> ${all}`, `<bert@local.example> ${all}`, `<all@lists.example> ${all}`],
  })
  assert.deepEqual(await reports(), [])
  assert.doesNotMatch(posthorn.log(), /"to":"","about"/)
  sink.setAnswer(() => null)
})

test('a crash right behind the 250 costs no report and doubles none', { timeout }, async () => {
  await send({ rcpt: ['<all@lists.example> NOTIFY=SUCCESS,FAILURE', '<x@relay.example> NOTIFY=SUCCESS'] })
  await posthorn.killAll()
  posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        relayPort: sink.port,
        more: `zone "lists.example" { type local; mailboxes "${paths.users}"; aliases "${paths.directory}/aliases"; };`,
      }),
    users: ['anna', 'bert', 'cora'],
    directory: posthorn.paths.directory,
  })
  // A report may come twice, as any mail that a crash leaves in doubt; two reports of one thing may not.
  const ids = new Map<string, string>()
  for (const text of await reports()) ids.set(/^Message-ID: (.*)$/m.exec(text)?.[1] ?? '', text)
  const actions = [...ids.values()].flatMap((text) => text.match(/^Action: .*$/gm) ?? [])
  assert.deepEqual(actions.sort(), ['Action: expanded', 'Action: failed', 'Action: relayed'])
})
