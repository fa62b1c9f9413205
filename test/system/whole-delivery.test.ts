/**
 * Where `deliver` can lead: mbox, file, command, Maildir with folders and quota, LMTP; from port 25 to what a reader
 * finds there, and what the sender hears when it cannot be.
 */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type ClientReply, sendMail } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Paths, type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 180_000
const users = ['anna', 'ben', '-oQ']
let posthorn: Posthorn
let sink: Sink
/** Has the mailboxes of lmtp.example. */
let inside: Posthorn

before(
  async () => {
    sink = await openSink()
    inside = await startPosthorn({ config: insideOf, users: ['anna'] })
    posthorn = await startPosthorn({ config: configOf, users })
  },
  { timeout },
)
after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    assert.equal(await inside.stop(), 0)
    await sink.close()
  },
  { timeout },
)

function insideOf(paths: Paths): string {
  const more = `listener "lmtp" { type lmtp; socket "l.sock"; };
    zone "lmtp.example" { type local; mailboxes "${paths.users}"; };`
  return testConfig(paths, { more })
}

function configOf(paths: Paths): string {
  const spool = join(paths.directory, 'mail')
  const script = join(paths.directory, 'script')
  mkdirSync(spool, { mode: 0o755 })
  writeFileSync(script, SCRIPT)
  chmodSync(script, 0o755)
  const zone = (name: string, deliver: string) =>
    `zone "${name}.example" { type local; mailboxes "${paths.users}"; deliver ${deliver}; };`
  const zones = [
    zone('mbox', `mbox "${spool}/%u"`),
    zone('file', 'file "~/mail/inbox"'),
    zone('null', 'file "/dev/null"'),
    zone('pipe', `pipe "${script}" "%u" "%d" "%e"`),
    zone('shell', 'pipe from-line shell yes "cat > $HOME/shell; echo stored as $EXTENSION"'),
    zone('folders', 'maildir "~/Folders" folders'),
    zone('quota', 'maildir "~/Quota" quota 100k messages 3'),
    zone('lmtp', `lmtp "${join(inside.paths.run, 'l.sock')}"`),
  ]
  return testConfig(paths, {
    relayPort: sink.port,
    qmgr: 'retry 1s;',
    more: `${zones.join('\n')}\nretry-class "soon" { codes { "4.2.2"; }; retry 1s; };\nlda { command-timeout 3s; };`,
  })
}

/** What stands behind `+` is what it does. */
const SCRIPT = `#!/bin/sh
umask 077
printf '%s\\n' "$@" > "$HOME/words"
env > "$HOME/environment"
ls /proc/self/fd > "$HOME/descriptors"
cat > "$HOME/content"
case "$EXTENSION" in
  nouser) echo "no such user here"; exit 67 ;;
  later) [ -e "$HOME/second" ] || { : > "$HOME/second"; exit 75; } ;;
  hang) [ -e "$HOME/hung" ] || { : > "$HOME/hung"; sleep 1000; } ;;
  noise) head -c 3000000 /dev/zero ;;
  child) sleep 1000 > /dev/null 2>&1 & echo $! > "$HOME/child" ;;
esac
`

const home = (user: string) => join(posthorn.paths.directory, 'homes', user)
const read = (...path: string[]) => readFileSync(join(posthorn.paths.directory, ...path), 'latin1')
const seconds = (n: number) => n * 1000

function send(to: string, content = 'Subject: x\r\n\r\nbody\r\n', more = {}): Promise<ClientReply> {
  return sendMail(posthorn.ports['mx'] ?? 0, { from: 'x@client.example', to: [to], content, ...more })
}

test('an mbox, with From quoted, beside each other and large', { timeout }, async () => {
  const tricky = 'Subject: a\r\n\r\nFrom here on\r\n From not\r\n>From that\r\nend'
  assert.equal((await send('anna@mbox.example', tricky)).code, 250)
  await posthorn.queueEmpty()
  assert.match(
    read('mail', 'anna'),
    /^From x@client\.example \w{3} \w{3} [ \d]\d [\d:]{8} \d{4}\nReturn-Path: <x@client\.example>\nDelivered-To: anna@mbox\.example\n/,
  )
  assert.match(read('mail', 'anna'), /\n\n>From here on\n From not\n>From that\nend\n\n$/)
  const large = `Subject: b\r\n\r\n${`${'y'.repeat(76)}\r\n`.repeat(20_000)}`
  await Promise.all([...Array(20).keys()].map((n) => send('anna@mbox.example', n === 7 ? large : tricky)))
  await posthorn.queueEmpty(seconds(60))
  const mails = read('mail', 'anna').split(/^From x@client\.example /m)
  assert.equal(mails.length, 1 + 21)
  assert.equal(mails.filter((mail) => mail.length > 1_500_000).length, 1)
  assert.deepEqual(readdirSync(join(posthorn.paths.directory, 'mail')), ['anna'])
})

test('a file below the home, whose folder is made; and one that swallows all', { timeout }, async () => {
  await send('ben@file.example')
  await send('ben@null.example')
  await posthorn.queueEmpty()
  assert.match(readFileSync(join(home('ben'), 'mail/inbox'), 'latin1'), /^From x@client[\s\S]*\n\nbody\n\n$/)
})

test('a command: its words, its environment, its descriptors, its input', { timeout }, async () => {
  await send('anna+Box@pipe.example')
  await posthorn.queueEmpty()
  const of = (name: string) => readFileSync(join(home('anna'), name), 'utf8')
  assert.equal(of('words'), 'anna\npipe.example\nBox\n')
  assert.match(of('content'), /^Return-Path: <x@client\.example>\nDelivered-To: anna\+Box@pipe\.example\n/)
  const names = of('environment')
    .trim()
    .split('\n')
    .map((line) => line.split('=', 1)[0])
  const known =
    'DOMAIN EXTENSION HOME LANG LOCAL LOGNAME ORIGINAL_RECIPIENT PATH POSTHORN_DELIVERY PWD RECIPIENT SENDER SHELL USER'
  assert.deepEqual(
    names.filter((name) => !['TZ', '_', 'SHLVL', 'OLDPWD'].includes(name ?? '')).sort(),
    known.split(' '),
  )
  // 3 is the directory that ls reads
  assert.deepEqual(of('descriptors').trim().split('\n'), ['0', '1', '2', '3'])
})

test('hostile recipients are one word each, or nobody', { timeout }, async () => {
  assert.equal((await send('"-oQ"@pipe.example')).code, 250)
  await posthorn.queueEmpty()
  assert.equal(readFileSync(join(home('-oQ'), 'words'), 'utf8'), '=2DoQ\npipe.example\n\n')
  await send('"anna+$(touch x); ../..|sh"@pipe.example')
  await posthorn.queueEmpty()
  const words = readFileSync(join(home('anna'), 'words'), 'utf8').split('\n')
  assert.equal(words[2], '=24=28touch=20x=29=3B=20..=2F..=7Csh')
  assert.equal(existsSync(join(home('anna'), 'x')), false)
  const unknown = [
    '"|sh"',
    '"/etc/passwd"',
    '"../anna"',
    '"anna/../ben"',
    'a'.repeat(65),
    'anna..',
    '"anna\\\u0000"',
  ]
  for (const local of unknown) {
    const reply = await send(`${local}@mbox.example`)
    assert.ok(reply.code >= 500, `${local}: ${reply.code} ${reply.text}`)
  }
  assert.deepEqual(readdirSync(join(posthorn.paths.directory, 'mail')), ['anna'])
})

test('a command refuses: it comes back with its code', { timeout }, async () => {
  await send('anna+nouser@pipe.example', undefined, { from: 'back@relay.example' })
  const [report] = await sink.received(1)
  assert.match(report?.content.toString() ?? '', /Status: 5\.1\.1[\s\S]*user unknown/i)
  await posthorn.logged(/no such user here/)
})

test('a command that asks for later, hangs, or prints without end', { timeout }, async () => {
  for (const what of ['later', 'hang', 'noise', 'child']) await send(`anna+${what}@pipe.example`)
  await posthorn.queueEmpty(seconds(60))
  assert.ok(existsSync(join(home('anna'), 'second')))
  await posthorn.logged(/the command took too long/)
  const child = Number(readFileSync(join(home('anna'), 'child'), 'utf8'))
  assert.ok(child > 1 && !existsSync(`/proc/${child}`), 'what it left behind is dead')
})

test('a text for the shell', { timeout }, async () => {
  await send('"ben+a;$(id)"@shell.example')
  await posthorn.queueEmpty()
  assert.match(readFileSync(join(home('ben'), 'shell'), 'utf8'), /^From x@client\.example .*\nReturn-Path/)
  await posthorn.logged(/stored as a___id_/)
})

test('folders that are there, and only those', { timeout }, async () => {
  const maildir = join(home('anna'), 'Folders')
  for (const part of ['', '/tmp', '/new', '/cur'])
    mkdirSync(join(maildir, `.lists.dev${part}`), { recursive: true, mode: 0o700 })
  await send('anna+lists.dev@folders.example')
  await send('anna+other@folders.example')
  await send('"anna+../../ben"@folders.example')
  assert.equal((await mailsIn(join(maildir, '.lists.dev'), 1)).length, 1)
  assert.equal((await mailsIn(maildir, 2)).length, 2)
  await posthorn.queueEmpty()
  assert.deepEqual(readdirSync(maildir).sort(), ['.lists.dev', 'cur', 'new', 'tmp'])
})

test('a full Maildir gets mail later, and then all of it', { timeout }, async () => {
  const maildir = join(home('anna'), 'Quota')
  for (let n = 0; n < 4; n++) await send('anna@quota.example')
  const mails = await mailsIn(maildir, 3)
  assert.ok(mails.every(({ file }) => /,S=\d+$/.test(file)))
  const [row] = await until('one that waits', async () => {
    const rows = (await posthorn.queue()).filter(({ attempts }) => attempts > 0)
    return rows.length === 1 && rows
  })
  assert.equal(row?.recipient, 'anna@quota.example')
  await posthorn.logged(/mailbox over quota/)
  assert.equal((await send('ben@quota.example')).code, 250)
  await mailsIn(join(home('ben'), 'Quota'), 1)
  // as Dovecot does when a reader removes one
  const size = Number(/,S=(\d+)/.exec(mails[0]?.file ?? '')?.[1])
  const file = join(maildir, 'maildirsize')
  writeFileSync(file, `${readFileSync(file, 'latin1')}-${size} -1\n`)
  await posthorn.queueEmpty(seconds(60))
  assert.equal((await mailsIn(maildir, 4)).length, 4)
})

test('LMTP by a socket: who has no mailbox in the zone is refused here', { timeout }, async () => {
  assert.equal((await send('anna@lmtp.example')).code, 250)
  const [mail] = await mailsIn(inside.maildir('anna'), 1)
  assert.match(mail?.content.toString() ?? '', /^Return-Path: <x@client\.example>\nDelivered-To: anna@lmtp/)
  assert.equal((await send('nobody@lmtp.example')).code, 550)
})

test('DSN: delivered, where that is asked for', { timeout }, async () => {
  const before = sink.mails.length
  await sendMail(posthorn.ports['mx'] ?? 0, {
    from: 'back@relay.example',
    to: ['anna@mbox.example> NOTIFY=SUCCESS ORCPT=rfc822;anna@mbox.example'],
    content: 'Subject: y\r\n\r\n',
  }).catch(() => undefined)
  const report = (await sink.received(before + 1)).at(-1)?.content.toString() ?? ''
  assert.match(report, /Action: delivered/i)
})
