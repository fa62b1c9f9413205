/**
 * The mail server and the agents of its users: a whole Posthorn as root, in a mount namespace where two more users
 * stand in /etc/passwd, and `sendmail` run as them. What one hands in goes by the user's own agent and provider; the
 * other has no agent, and is served as ever. Nothing gets lost when the agent dies, and no password leaves it.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'
import { accountText, newUser, openProvider, type Provider, type User } from './agent-stage.ts'

const UID = 5433
const OTHER_UID = 5434
const NAMESPACE = ['unshare', '-m', 'sh', '-ec', 'mount --bind "$0" /etc/passwd; exec "$@"']
const MESSAGE = 'From: Ann <ann@work.example>\nSubject: hello\n\nbody\n'

function whySkipped(): string | false {
  if (process.getuid?.() !== 0) return 'this needs root: nothing of it was tested'
  const tried = spawnSync('unshare', ['-m', 'true'])
  return tried.status === 0 ? false : 'no mount namespaces here: nothing of it was tested'
}
const skip = whySkipped()
const options = { timeout: 120_000, skip }

const directory = mkdtempSync(join(tmpdir(), 'posthorn-passwd-'))
let user: User
let other: User
let provider: Provider
let sink: Sink
let posthorn: Posthorn
/** What the provider does at the end of data: null takes it. */
let onDot: ((done: () => void) => void) | null = null

before(async () => {
  if (skip) return
  user = newUser(UID)
  other = newUser(OTHER_UID)
  sink = await openSink()
  provider = await openProvider({ secure: true }, (to) => (to.startsWith('no@') ? '550 nobody here' : ''))
  writeAccounts('default;')
  await user.startAgent()
  posthorn = await startPosthorn({
    asUsers: true,
    within: [...NAMESPACE, passwd()],
    config: (paths) => {
      chmodSync(paths.directory, 0o755)
      writeFileSync(paths.users, `post:${OTHER_UID}:${OTHER_UID}:${other.home}\n`)
      const users =
        'qmgr-user "daemon"; smtpd-user "bin"; submission-user "uucp"; smtpc-user "games"; resolver-user "lp"; group "games";'
      return testConfig(paths, {
        options: 'qualify-domain "machine.example";',
        processes: users,
        local: 'user-agents yes;',
        more: `zone "." { type relay; hosts { "127.0.0.1" port ${sink.port}; }; };`,
      })
    },
  })
})

after(async () => {
  rmSync(directory, { recursive: true, force: true })
  if (skip) return
  await posthorn?.stop()
  await user.close()
  await other.close()
  await provider.close()
  await sink.close()
})

function passwd(): string {
  const path = join(directory, 'passwd')
  const line = (name: string, uid: number, home: string) => `${name}:x:${uid}:${uid}::${home}:/bin/sh\n`
  const more = line('annlogin', UID, user.home) + line('other', OTHER_UID, other.home)
  writeFileSync(path, readFileSync('/etc/passwd', 'utf8') + more)
  chmodSync(directory, 0o755)
  return path
}

function writeAccounts(more: string, port = provider.port): void {
  user.accounts(accountText('work', port, `tls implicit; sender "ann@work.example"; ${more}`))
}

async function send(who: User, argv: string[], message = MESSAGE): Promise<void> {
  const { code, stderr } = await who.sendmail(argv, message, { POSTHORN_SOCKET: posthorn.paths.submit })
  assert.deepEqual([code, stderr], [0, ''])
}

test('a user with an agent sends by the provider of that agent', options, async () => {
  // what sendmail says for a user that it knows
  await send(user, ['-f', 'annlogin', 'bob@far.example', 'cyd@far.example'])
  await until('the mail at the provider', () => provider.received.length === 1)
  await posthorn.queueEmpty()
  const [mail] = provider.received
  assert.deepEqual(
    [mail?.sender, mail?.recipients, mail?.user, mail?.secure],
    ['ann@work.example', ['bob@far.example', 'cyd@far.example'], 'ann', true],
    'the account’s sender stands for one that this machine made up',
  )
  assert.match(mail?.content ?? '', /^From: Ann <ann@work\.example>\r\nSubject: hello\r$/m)
  assert.equal(sink.mails.length, 0)
})

test(
  'the process between them is that user, and holds no password; nor does anything else',
  options,
  async () => {
    const status = await posthorn.command('status', '--json')
    const { processes } = JSON.parse(status.stdout) as {
      processes: { name: string; uid: number; pid: number }[]
    }
    const found = processes.find(({ name }) => name === `lda-agent-${UID}`)
    assert.equal(found?.uid, UID)
    assert.match(readFileSync(`/proc/${found?.pid}/status`, 'utf8'), /^NoNewPrivs:\t1$/m)
    const traces = spawnSync('grep', ['-rl', 's3cret', posthorn.paths.directory], { encoding: 'utf8' })
    assert.equal(traces.stdout, '')
  },
)

test('a user without an agent sends as ever', options, async () => {
  await send(other, ['-f', 'other@machine.example', 'bob@far.example'])
  await sink.received(1)
  assert.equal(sink.mails.at(-1)?.from, 'other@machine.example')
  await posthorn.logged(/"declined":"absent","msg":"not by an agent"/)
  await posthorn.queueEmpty()
})

test('a large message goes piece by piece', options, async () => {
  const lines = `${'x'.repeat(70)}\n.dot\n`.repeat(60_000)
  await send(user, ['-i', 'bob@far.example'], `${MESSAGE}${lines}`)
  const before = provider.received.length
  await until('the mail at the provider', () => provider.received.length > before - 1 && largest() > 4e6)
  const mail = provider.received.find(({ content }) => content.length > 4e6)
  assert.ok(mail?.content.endsWith(`body\r\n${lines.replaceAll('\n', '\r\n')}`), 'every octet of it')
  await posthorn.queueEmpty()
})

function largest(): number {
  return Math.max(0, ...provider.received.map(({ content }) => content.length))
}

test('mail within the machine never goes to the agent', options, async () => {
  const before = provider.received.length
  await send(user, ['post@local.example'])
  await posthorn.queueEmpty()
  const inbox = join(other.home, 'Maildir/new')
  const [name = ''] = readdirSync(inbox)
  assert.match(readFileSync(join(inbox, name), 'utf8'), /^Subject: hello$/m)
  assert.equal(provider.received.length, before)
})

test('what no account is for goes the usual way', options, async () => {
  writeAccounts('from "*@work.example";')
  const mails = sink.mails.length
  await send(user, ['-f', 'ann@elsewhere.example', 'bob@far.example'], 'From: ann@elsewhere.example\n\nx\n')
  await sink.received(mails + 1)
  assert.equal(sink.mails.at(-1)?.from, 'ann@elsewhere.example')
  await posthorn.logged(/"declined":"not-mine"/)
  writeAccounts('default;')
  await posthorn.queueEmpty()
})

test('who is refused by the provider is reported, and the others get it', options, async () => {
  const [mails, received] = [sink.mails.length, provider.received.length]
  await send(user, ['-f', 'ann@work.example', 'no@far.example', 'bob@far.example'])
  await until('the mail at the provider', () => provider.received.length > received)
  assert.deepEqual(provider.received.at(-1)?.recipients, ['bob@far.example'])
  await sink.received(mails + 1)
  const report = sink.mails.at(-1)
  assert.deepEqual([report?.from, report?.to], ['', ['ann@work.example']], 'by the server, not by the agent')
  assert.match(report?.content.toString('latin1') ?? '', /nobody here/)
  await posthorn.queueEmpty()
})

test('an agent that dies in the middle loses nothing, and mail waits until it is back', options, async () => {
  await provider.close()
  const slow = await openProvider({
    secure: true,
    onData: (stream, _session, done) => {
      stream.resume()
      stream.on('end', () => onDot?.(() => done()))
    },
  })
  const atDot = new Promise<void>((resolve) => {
    onDot = () => resolve()
  })
  writeAccounts('default;', slow.port)
  await send(user, ['-f', 'ann@work.example', 'dora@far.example'])
  await atDot
  const pid = user.agentPid()
  assert.ok(pid)
  const mails = sink.mails.length
  process.kill(pid, 'SIGKILL')
  await posthorn.logged(/dora@far.example.*the agent does not answer/)
  assert.ok(existsSync(join(user.home, '.local/state/posthorn/agent.sock')), 'its socket is left')
  assert.equal((await posthorn.queue()).length, 1)
  await slow.close()
  provider = await openProvider({ secure: true })
  writeAccounts('default;')
  await user.startAgent()
  await until('the mail at the provider', () => provider.received.length === 1)
  assert.deepEqual(provider.received[0]?.recipients, ['dora@far.example'])
  await posthorn.queueEmpty()
  assert.equal(sink.mails.length, mails, 'not by another way meanwhile')
})
