/**
 * Filters from outside: Debian's opendkim signs what users send, small and large, and the signatures verify; a milter
 * that does what it is told changes all that can be changed; one that dies, says nothing or talks nonsense loses no
 * mail, and what becomes of it is what the config says.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { judge, keysWanted } from '../../services/smtpd/signature/judge.ts'
import { SignatureWatch } from '../../services/smtpd/signature/watch.ts'
import { openSession, sendMail, transact } from '../support/client.ts'
import { debianPrograms } from '../support/debian.ts'
import { mailsIn } from '../support/maildir.ts'
import { milterPacket as packet, type ScriptedMilter, startMilter } from '../support/milter.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { signingKey } from '../support/signing-key.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 400_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-filters-'))
const key = signingKey('rsa')
let opendkim: { process: ChildProcess; left: Promise<unknown> } | null = null
let posthorn: Posthorn

const at = (name: string) => join(directory, `${name}.sock`)
const users = ['anna', 'bert', 'carl', 'dora', 'emil', 'fred', 'gina', 'hans']
const filters = ['changer', 'second', 'judge', 'dead', 'mute', 'reject', 'babbler']

async function startOpendkim(): Promise<typeof opendkim> {
  const programs = debianPrograms('opendkim')
  const program = programs?.find('opendkim')
  if (!programs || !program) return null
  writeFileSync(join(directory, 'key.pem'), key.pem, { mode: 0o600 })
  const lines = [
    `Socket local:${at('opendkim')}`,
    `KeyFile ${join(directory, 'key.pem')}`,
    'Domain local.example',
    'Selector one',
    'Mode s',
    'Canonicalization relaxed/simple',
    'OversignHeaders From,Subject,To,Cc,Date,Sender,Reply-To,Content-Type,Content-Transfer-Encoding',
    'Background no',
    'RequireSafeKeys no',
  ]
  const conf = join(directory, 'opendkim.conf')
  writeFileSync(conf, `${lines.join('\n')}\n`)
  const child = spawn(program, ['-f', '-x', conf], {
    env: programs.env,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const left = once(child, 'exit')
  await until('the socket of opendkim', () => {
    if (child.exitCode !== null) throw new Error(`opendkim left with ${child.exitCode}`)
    return existsSync(at('opendkim'))
  })
  return { process: child, left }
}

function configOf(paths: Parameters<typeof testConfig>[0]): string {
  const listener = (name: string, ...names: string[]) =>
    `listener "${name}" { type mx; address 127.0.0.1; port 0; filters { ${names.map((one) => `"${one}";`).join(' ')} }; };`
  const sections = filters.map((name) => {
    const rule = name === 'reject' ? 'reject' : name === 'mute' ? 'accept' : 'tempfail'
    return `filter "${name}" { milter "${at(name)}"; on-failure ${rule}; timeout 1s; };`
  })
  const more = [
    `filter "opendkim" { milter "${at('opendkim')}"; };`,
    'listener "signing" { type submission; address 127.0.0.1; port 0; filters { "opendkim"; }; };',
    listener('changing', 'changer', 'second'),
    listener('judging', 'judge'),
    listener('dead', 'dead'),
    listener('mute', 'mute'),
    listener('rejecting', 'reject'),
    listener('babbling', 'babbler'),
    ...sections,
  ]
  return testConfig(paths, { more: more.join('\n') })
}

before(
  async () => {
    opendkim = await startOpendkim()
    posthorn = await startPosthorn({ users, config: configOf })
  },
  { timeout },
)

after(async () => {
  await posthorn.stop()
  opendkim?.process.kill('SIGTERM')
  await opendkim?.left
  rmSync(directory, { recursive: true, force: true })
})

const port = (name: string) => {
  const found = posthorn.ports[name]
  assert.ok(found !== undefined, name)
  return found
}

/** Null: signed by local.example, all of it. */
function verdictOn(content: Buffer): unknown {
  // what lda has put on top is not part of it
  const watch = new SignatureWatch('anna@local.example')
  const wire = Buffer.from(content.toString('latin1').replace(/\r?\n/g, '\r\n'), 'latin1')
  watch.push(wire, 0, wire.length)
  const finding = watch.end(Math.floor(Date.now() / 1000))
  return judge(
    finding,
    new Map(keysWanted(finding).map((name) => [name, { kind: 'found', texts: [key.record] }])),
  )
}

const largeBody = '0123456789 abcdefghijklmnopqrstuvwxyz\r\n.dots\r\n'.repeat(20_000)

test('opendkim signs what users send, and the signature is good', { timeout }, async (t) => {
  if (!opendkim) return t.skip('no opendkim here')
  const header =
    'From: Anna <anna@local.example>\r\nTo: bert@local.example\r\nSubject: signed,\r\n\tand folded\r\n'
  for (const [n, body] of ['Hello.\r\n', largeBody].entries()) {
    const reply = await sendMail(port('signing'), {
      from: 'anna@local.example',
      to: ['bert@local.example'],
      content: `${header}\r\n${body}`,
    })
    assert.equal(reply.code, 250, reply.text)
    const mails = await mailsIn(posthorn.maildir('bert'), n + 1)
    const stored = body.replaceAll('\r\n', '\n')
    const mail = mails.find(({ content }) => content.toString('latin1').endsWith(`\n\n${stored}`))
    assert.ok(mail, 'whole')
    assert.match(mail.content.toString('latin1'), /^DKIM-Signature: v=1; a=rsa-sha256;/m)
    assert.equal(verdictOn(mail.content), null)
    const broken = Buffer.from(mail.content.toString('latin1').replace('Subject: s', 'Subject: S'), 'latin1')
    assert.notEqual(verdictOn(broken), null, 'the test sees a change')
  }
})

const everyChange = [
  packet('h', 'X-Added', 'at the end'),
  packet('i', 1, 'X-Inserted', 'on top,\n folded'),
  packet('m', 1, 'Subject', 'another one'),
  packet('m', 2, 'X-Twice', ''),
  packet('e', '<changed@example.net>', ''),
  packet('+', '<carl@local.example>'),
  packet('2', '<dora@local.example>', 'NOTIFY=NEVER'),
  packet('-', '<anna@local.example>'),
  packet('p'),
]

test('every change is made, and the next filter sees it', { timeout }, async () => {
  const body = Buffer.from('Another\nbody\r\n')
  const replace = Buffer.concat([Buffer.from([0, 0, 0, body.length + 1]), Buffer.from('b'), body])
  const changer = await startMilter(at('changer'), { changes: [...everyChange, replace] })
  const second = await startMilter(at('second'))
  const content = 'Subject: one\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\nBody.\r\n'
  const reply = await sendMail(port('changing'), {
    from: 'me@example.org',
    to: ['anna@local.example', 'emil@local.example'],
    content,
  })
  assert.equal(reply.code, 250, reply.text)
  for (const user of ['carl', 'dora', 'emil']) {
    const [mail] = await mailsIn(posthorn.maildir(user), 1)
    const text = mail?.content.toString('latin1').replaceAll('\r\n', '\n') ?? ''
    assert.match(text, /^Return-Path: <changed@example\.net>$/m)
    assert.match(
      text,
      /;\n\t[^\n]+\nX-Inserted: on top,\n folded\nSubject: another one\nX-Twice: 1\nX-Added: at the end\n\nAnother\nbody\n$/,
    )
  }
  assert.deepEqual(
    second.heard.filter((one) => /^[LB]/.test(one)),
    [
      'L:X-Inserted\0on top,\n folded\0',
      'L:Subject\0another one\0',
      'L:X-Twice\0' + '1\0',
      'L:X-Added\0at the end\0',
      'B:Another\r\nbody\r\n',
    ],
  )
  assert.ok(changer.heard.includes('M:<me@example.org>\0'))
  assert.ok(
    changer.heard.some((one) => /^D:M.*\0?i\0T/.test(one)),
    'the id of the message is a macro',
  )
  await posthorn.queueEmpty()
  assert.equal((await mailsIn(posthorn.maildir('emil'), 1)).length, 1)
  await Promise.all([changer.stop(), second.stop()])
})

test('a large message gets its header and its body changed as well', { timeout }, async () => {
  const second = await startMilter(at('second'))
  const large = {
    from: 'me@example.org',
    to: ['fred@local.example'],
    content: `Subject: big\r\n\r\n${largeBody}`,
  }
  const adder = await startMilter(at('changer'), { changes: [packet('h', 'X-Long', 'x'.repeat(60_000))] })
  assert.equal((await sendMail(port('changing'), large)).code, 250)
  await adder.stop()
  const [longer] = await mailsIn(posthorn.maildir('fred'), 1)
  const text = longer?.content.toString('latin1').replaceAll('\r\n', '\n') ?? ''
  assert.ok(
    text.endsWith(`Subject: big\nX-Long: ${'x'.repeat(60_000)}\n\n${largeBody.replaceAll('\r\n', '\n')}`),
  )
  const heard = second.heard.filter((one) => one.startsWith('B:')).map((one) => one.slice(2))
  assert.equal(heard.join(''), largeBody, 'and filters see all of it')

  const body = packet('b', 'Short')
  const changer = await startMilter(at('changer'), { changes: [body, packet('m', 1, 'Subject', '')] })
  assert.equal((await sendMail(port('changing'), { ...large, to: ['gina@local.example'] })).code, 250)
  const [shorter] = await mailsIn(posthorn.maildir('gina'), 1)
  assert.match(shorter?.content.toString('latin1') ?? '', /;\r?\n\t[^\r\n]+\r?\n\r?\nShort\0$/)
  await Promise.all([changer.stop(), second.stop()])
})

test('a filter refuses, discards and holds', { timeout }, async () => {
  const words: Record<string, Buffer> = {
    'no@example.org': packet('y', '554 5.7.9 100%% no'),
    'later@example.org': packet('t'),
    'void@example.org': packet('d'),
  }
  const judging = await startMilter(at('judge'), {
    answers: {
      M: (data) => words[/<(.*)>/.exec(data)?.[1] ?? ''] ?? packet('c'),
      R: (data) => packet(data.includes('nobody') ? 'r' : 'c'),
    },
    changes: [packet('q', 'looks odd')],
  })
  const mail = (from: string, to = 'hans@local.example') => ({
    from,
    to: [to],
    content: 'Subject: x\r\n\r\nHi.\r\n',
  })
  const session = await openSession(port('judging'))
  const no = await transact(session, mail('no@example.org'))
  assert.deepEqual([no.code, no.text], [554, '5.7.9 100% no'])
  await session.say('RSET')
  assert.equal(
    (await transact(session, mail('later@example.org'))).text,
    '4.7.1 Not accepted now, try again later',
  )
  await session.say('RSET')
  assert.equal((await transact(session, mail('me@example.org', 'hans@local.example'))).code, 250)
  assert.equal((await transact(session, mail('void@example.org'))).code, 250)
  await session.quit()
  assert.equal(judging.connections(), 1, 'one connection for a session')
  const rows = await posthorn.queue()
  assert.deepEqual(
    rows.map(({ sender, state }) => ({ sender, state })),
    [{ sender: 'me@example.org', state: 'held' }],
  )
  assert.match((await posthorn.command('queue', 'list')).stdout, /looks odd/)
  await posthorn.command('queue', 'release', '--all')
  await mailsIn(posthorn.maildir('hans'), 1)
  await posthorn.queueEmpty()
  await judging.stop()
})

test('a dead filter loses no mail', { timeout }, async () => {
  const mail = (to: string) => ({ from: 'me@example.org', to: [to], content: 'Subject: x\r\n\r\nHi.\r\n' })
  assert.equal((await sendMail(port('dead'), mail('anna@local.example'))).code, 451)
  assert.equal((await sendMail(port('rejecting'), mail('anna@local.example'))).code, 550)
  const session = await openSession(port('dead'))
  assert.equal((await transact(session, mail('anna@local.example'))).code, 451)
  await session.say('RSET')
  let back: ScriptedMilter = await startMilter(at('dead'), { answers: { E: 'drop' } })
  const dropped = await transact(session, mail('anna@local.example'))
  assert.deepEqual(
    [dropped.code, dropped.text],
    [451, '4.3.0 The message cannot be checked now, try again later'],
  )
  await back.stop()
  back = await startMilter(at('dead'))
  assert.equal((await transact(session, mail('anna@local.example'))).code, 250, 'the same session, later')
  await session.quit()
  await mailsIn(posthorn.maildir('anna'), 1)
  await back.stop()

  const mute = await startMilter(at('mute'), { answers: { B: 'silence' } })
  assert.equal((await sendMail(port('mute'), mail('anna@local.example'))).code, 250)
  await mailsIn(posthorn.maildir('anna'), 2)
  await mute.stop()
  const babbler = await startMilter(at('babbler'), { answers: { R: Buffer.from('250 what?\r\n') } })
  assert.equal((await sendMail(port('babbling'), mail('anna@local.example'))).code, 451)
  await babbler.stop()
  await posthorn.queueEmpty()
  assert.equal((await mailsIn(posthorn.maildir('anna'), 2)).length, 2)
})
