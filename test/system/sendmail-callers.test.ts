/**
 * The programs that call sendmail, as Debian ships them (`debian.ts`), each with the options it gives of itself: one
 * message each, which must arrive once and whole. Programs that know no path but /usr/sbin/sendmail run in a mount
 * namespace of their own where that is ours (`sendmail-daemons.ts`). What cannot be had here is skipped, loudly.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { debianPrograms, type Programs } from '../support/debian.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { runAt, runCron, runSudo, whyNoNamespace } from './sendmail-daemons.ts'
import { type Result, resultOf, sendmail } from './sendmail-stage.ts'

const timeout = 300_000
const SENDMAIL = resolve('bin/sendmail')
const FROM = 'me@far.example'
const TO = 'ann@local.example'
/** What a careless caller or server would cut short or join. */
const BODY = 'hello\n.\n..two\nworld\n'

let posthorn: Posthorn

before(
  async () => {
    posthorn = await startPosthorn({
      config: (paths) => testConfig(paths, { options: 'qualify-domain "local.example";' }),
      users: ['ann', 'root'],
    })
  },
  { timeout },
)
after(async () => void (await posthorn.stop()), { timeout })

const seen = new Set<string>()

/** The one new message in the Maildir of ann, whole. */
async function whole(body = BODY): Promise<string> {
  const mails = await mailsIn(posthorn.maildir('ann'), seen.size + 1)
  await posthorn.queueEmpty()
  const fresh = mails.filter(({ file }) => !seen.has(basename(file)))
  for (const { file } of fresh) seen.add(basename(file))
  assert.equal(fresh.length, 1)
  const text = fresh[0]?.content.toString().replaceAll('\r\n', '\n') ?? ''
  assert.ok(text.includes(`\n\n${body}`), text)
  return text
}

interface Running {
  input?: string
  env?: NodeJS.ProcessEnv
  cwd?: string
}

function run(
  file: string,
  argv: readonly string[],
  { input = BODY, env, cwd }: Running = {},
): Promise<Result> {
  const all = {
    ...process.env,
    ...env,
    POSTHORN_SOCKET: posthorn.paths.submit,
    HOME: posthorn.paths.directory,
  }
  const child = spawn(file, [...argv], { env: all, stdio: 'pipe', ...(cwd && { cwd }) })
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  return resultOf(child)
}

/** Null, and the test is skipped, where these cannot be had. */
function programsFor(t: TestContext, ...packages: string[]): Programs | null {
  const programs = debianPrograms(...packages)
  if (!programs) t.skip(`${packages.join(', ')} cannot be had here`)
  return programs
}

const fine = ({ code, err }: Result) => assert.equal(code, 0, err)

test('mutt', { timeout }, async (t) => {
  const mutt = programsFor(t, 'mutt')
  if (!mutt) return
  const settings = `set sendmail="${SENDMAIL} -oem -oi"; set from=${FROM}; set copy=no; set use_envelope_from=yes`
  const argv = ['-n', '-F', '/dev/null', '-e', settings, '-s', 'by mutt', '--', TO]
  fine(await run(mutt.find('mutt') ?? 'mutt', argv, { env: mutt.env }))
  assert.match(await whole(), /^Return-Path: <me@far\.example>$/m)
})

test('mutt tells its user when sendmail refuses', { timeout }, async (t) => {
  const mutt = programsFor(t, 'mutt')
  if (!mutt) return
  const settings = `set sendmail="${SENDMAIL} -oem -oi"; set copy=no`
  const argv = ['-n', '-F', '/dev/null', '-e', settings, '-s', 'by mutt', '--', 'nobody@local.example']
  const { code, out, err } = await run(mutt.find('mutt') ?? 'mutt', argv, { env: mutt.env })
  assert.notEqual(code, 0)
  assert.match(out + err, /67/)
})

test('s-nail', { timeout }, async (t) => {
  const nail = programsFor(t, 's-nail')
  if (!nail) return
  const argv = [
    '-:/',
    '-S',
    'v15-compat',
    '-S',
    `mta=${SENDMAIL}`,
    '-S',
    'sendwait',
    '-r',
    FROM,
    '-s',
    'by s-nail',
    TO,
  ]
  fine(await run(nail.find('s-nail') ?? 's-nail', argv, { env: nail.env }))
  await whole()
})

test('bsd-mailx, which smartd calls, too', { timeout }, async (t) => {
  const mailx = programsFor(t, 'bsd-mailx')
  if (!mailx) return
  const settings = join(posthorn.paths.directory, 'mailrc')
  writeFileSync(settings, `set sendmail=${SENDMAIL} sendwait\n`)
  const env = { ...mailx.env, MAILRC: settings }
  fine(
    await run(mailx.find('bsd-mailx') ?? 'bsd-mailx', ['-n', '-s', 'SMART error (Health) on host', TO], {
      env,
    }),
  )
  assert.match(await whole(), /^Subject: SMART error/m)
})

test('git send-email', { timeout }, async (t) => {
  const git = programsFor(t, 'git-email', 'libmailtools-perl')
  if (!git) return
  const patch = join(posthorn.paths.directory, '0001-x.patch')
  writeFileSync(patch, `From 0000 Mon Sep 17 00:00:00 2001\nFrom: ${FROM}\nSubject: [PATCH] x\n\n${BODY}`)
  const script = [
    join(git.folder, 'usr/lib/git-core/git-send-email'),
    '/usr/lib/git-core/git-send-email',
  ].find(existsSync)
  assert.ok(script)
  const argv = [
    script,
    `--smtp-server=${SENDMAIL}`,
    `--from=${FROM}`,
    `--to=${TO}`,
    '--confirm=never',
    '--quiet',
  ]
  const perl = {
    ...git.env,
    PERL5LIB: perlFolders(git),
    ...{ GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
    ...{ GIT_COMMITTER_NAME: 'Me', GIT_COMMITTER_EMAIL: FROM, GIT_AUTHOR_NAME: 'Me', GIT_AUTHOR_EMAIL: FROM },
  }
  const cwd = posthorn.paths.directory
  fine(await run('/usr/bin/perl', [...argv, '--suppress-cc=all', patch], { env: perl, cwd }))
  assert.match(await whole(), /^Subject: \[PATCH\] x$/m)
})

test('php mail()', { timeout }, async (t) => {
  const php = programsFor(t, 'php-cli')
  if (!php) return
  const folders = (php.env['PATH'] ?? '').split(':').filter((folder) => existsSync(folder))
  const names = folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
  const program = names.find((file) => /\/php\d[\d.]*$/.test(file)) ?? 'php'
  const code = `exit(mail("${TO}", "by php", ${JSON.stringify(BODY)}, "From: ${FROM}\\r\\nBcc: nobody-else@local.example", "-f${FROM}") ? 0 : 1);`
  const argv = ['-n', '-d', `sendmail_path=${SENDMAIL} -t -i`, '-r', code]
  // the blind copy has nobody: sendmail says so, and php passes it on as false
  const refused = await run(program, argv, { env: php.env })
  assert.equal(refused.code, 1)
  assert.match(refused.err, /<nobody-else@local\.example>: 550 5\.1\.1/)
  assert.doesNotMatch(await whole(), /^bcc/im)
  fine(
    await run(
      program,
      argv.map((word) => word.replace('\\r\\nBcc: nobody-else@local.example', '')),
      { env: php.env },
    ),
  )
  await whole()
})

test('Email::Sender of Perl', { timeout }, async (t) => {
  const library = programsFor(t, 'libemail-sender-perl')
  if (!library) return
  const script = `use Email::Sender::Simple qw(sendmail); use Email::Sender::Transport::Sendmail;
    local $/; my $text = <STDIN>;
    sendmail($text, { from => '${FROM}', to => ['${TO}'],
      transport => Email::Sender::Transport::Sendmail->new(sendmail => '${SENDMAIL}') });`
  const env = { ...library.env, PERL5LIB: perlFolders(library) }
  fine(
    await run('/usr/bin/perl', ['-e', script], {
      env,
      input: `From: ${FROM}\nTo: ${TO}\nSubject: by perl\n\n${BODY}`,
    }),
  )
  await whole()
})

function perlFolders({ folder }: Programs): string {
  const native = join(folder, 'usr/lib/x86_64-linux-gnu/perl5')
  const versions = existsSync(native) ? readdirSync(native).map((version) => join(native, version)) : []
  return [join(folder, 'usr/share/perl5'), ...versions].join(':')
}

test('nodemailer’s sendmail transport', { timeout }, async () => {
  const message = JSON.stringify({ from: FROM, to: TO, subject: 'by nodemailer', text: BODY })
  const script = `import nodemailer from 'nodemailer'
    await nodemailer.createTransport({ sendmail: true, path: ${JSON.stringify(SENDMAIL)} }).sendMail(${message})`
  fine(await run(process.execPath, ['--input-type=module', '-e', script]))
  await whole()
})

test('msmtp as a peer, on the submission port', { timeout }, async (t) => {
  const msmtp = programsFor(t, 'msmtp')
  if (!msmtp) return
  const argv = [
    '--host=127.0.0.1',
    `--port=${posthorn.ports['submission']}`,
    `--from=${FROM}`,
    '--auth=off',
    '--tls=off',
  ]
  const input = `To: ${TO}\nSubject: by msmtp\n\n${BODY}`
  fine(
    await run(msmtp.find('msmtp') ?? 'msmtp', ['--file=/dev/null', ...argv, TO].slice(1), {
      env: msmtp.env,
      input,
    }),
  )
  await whole()
})

const python = ['/usr/bin/python3', '/usr/local/bin/python3'].find(existsSync)

test('smtplib of Python, on the submission port', {
  timeout,
  skip: !python && 'no python3 here',
}, async () => {
  const script = `import smtplib, sys
with smtplib.SMTP('127.0.0.1', ${posthorn.ports['submission']}) as client:
    client.sendmail('${FROM}', ['${TO}'], sys.stdin.read())`
  fine(await run(python ?? '', ['-c', script], { input: `To: ${TO}\nSubject: by python\n\n${BODY}` }))
  await whole()
})

/** Called with the words that these programs have in their sources; they are too large, or do much else. */
const replayed: [string, string[], string][] = [
  [
    'mdadm',
    ['-t'],
    'From: mdadm monitoring <root>\nTo: ann@local.example\nSubject: DegradedArray event on /dev/md0:host',
  ],
  [
    'sudo',
    ['-t'],
    'To: ann@local.example\nFrom: root\nAuto-Submitted: auto-generated\nSubject: *** SECURITY information for host ***',
  ],
  ['emacs', ['-oi', '-f', FROM, '-oem', '-odb', '-t'], `From: ${FROM}\nTo: ${TO}\nFCC: x\nSubject: by emacs`],
  ['mailman', ['-i', '-f', 'list-bounces@local.example', TO], 'Subject: by mailman'],
  ['logwatch', ['-t', '-oi', '-FLogwatch'], `To: ${TO}\nSubject: Logwatch for host`],
]
for (const [name, argv, header] of replayed) {
  test(`${name}, its words replayed`, { timeout }, async () => {
    const input = `${header}\n\nhello\n..two\nworld\n`
    const dots = argv.some((word) => /^-o?i/.test(word))
    fine(await sendmail(argv, { input, env: { POSTHORN_SOCKET: posthorn.paths.submit } }))
    await whole(dots ? 'hello\n..two\nworld\n' : 'hello\n.two\nworld\n')
  })
}

const noNamespace = whyNoNamespace()

test('cron, which gives what its job printed', { timeout, skip: noNamespace }, async (t) => {
  const cron = programsFor(t, 'cron')
  if (!cron) return
  await runCron(t, {
    cron,
    run: posthorn.paths.run,
    folder: folderFor('cron'),
    to: TO,
    command: 'echo hello from cron',
  })
  const text = await whole('hello from cron\n')
  assert.match(text, /^From: .*CronDaemon|^From: .*Cron Daemon/m)
})

test('atd, which mails root', { timeout, skip: noNamespace }, async (t) => {
  const at = programsFor(t, 'at')
  if (!at) return
  await runAt(t, { at, run: posthorn.paths.run, folder: folderFor('at'), command: 'echo hello from at' })
  const [mail] = await mailsIn(posthorn.maildir('root'), 1)
  assert.match(mail?.content.toString() ?? '', /^Subject: Output from your job[\s\S]*hello from at/m)
})

test('sudo, which tells of a wrong password', { timeout, skip: noNamespace }, async (t) => {
  const sudo = programsFor(t, 'sudo')
  if (!sudo) return
  const scene = { sudo, run: posthorn.paths.run, folder: folderFor('sudo'), to: TO, command: 'true' }
  const why = await runSudo(t, scene)
  if (why !== '') return t.skip(why)
  const [mail] = (await mailsIn(posthorn.maildir('ann'), seen.size + 1)).filter(
    ({ file }) => !seen.has(basename(file)),
  )
  seen.add(basename(mail?.file ?? ''))
  assert.match(mail?.content.toString() ?? '', /^Subject: \*\*\* SECURITY information for /m)
  assert.match(mail?.content.toString() ?? '', /nobody : .*incorrect password attempt.* COMMAND=\S*true/)
})

function folderFor(name: string): string {
  const folder = join(posthorn.paths.directory, name)
  mkdirSync(folder)
  return folder
}
