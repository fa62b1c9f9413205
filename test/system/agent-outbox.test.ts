/**
 * Mail that does not go out at once: the outbox while a provider is away, messages held for their user's word, and
 * the sandbox. Real commands, real agents, killed in between.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { until } from '../support/wait.ts'
import { accountText, newUser, openProvider, type Provider, type User } from './agent-stage.ts'

const MESSAGE = 'From: ann@work.example\nSubject: hello there\n\nbody\n'
const PLENTY = { timeout: 120_000 }
let user: User
let provider: Provider
const putOff = new Set<string>()

before(async () => {
  user = newUser()
  provider = await openProvider({ secure: true }, (to) => {
    if (putOff.has(to)) return '451 not yet'
    return to.startsWith('no@') ? '550 nobody here' : ''
  })
})
after(async () => {
  await user.close()
  await provider.close()
})

function write(more: string, port = provider.port, agent = ''): void {
  user.accounts(
    `${accountText('work', port, `tls implicit; default; sender "ann@work.example"; ${more}`)}${agent}`,
  )
}

async function idOf(state: RegExp): Promise<string> {
  const list = await user.mailq()
  assert.match(list, state)
  return /\b(U[0-9A-Z]{10,20})\b/.exec(list)?.[1] ?? ''
}

test(
  'a provider that is away: 0 with an outbox, and it goes out when the provider is back',
  PLENTY,
  async () => {
    const gone = await openProvider({ secure: true })
    await gone.close()
    write('outbox yes;', gone.port)
    const { code, stderr } = await user.sendmail(['bob@x.example'], MESSAGE)
    assert.deepEqual([code, stderr], [0, ''])
    const id = await idOf(
      /waiting .* work .*<ann@work\.example> +<bob@x\.example>\n +hello there\n.*ECONNREFUSED/,
    )
    assert.equal(statSync(join(user.home, '.local/state/posthorn/outbox')).mode & 0o777, 0o700)
    assert.deepEqual(new Set(user.outbox()), new Set([`${id}.eml`, `${id}.json`]))
    // the outbox outlives its agent
    const pid = user.agentPid()
    assert.ok(pid)
    process.kill(pid, 'SIGKILL')
    write('outbox yes;')
    const count = provider.received.length
    const { stdout } = await user.posthorn('outbox', 'flush')
    assert.equal(stdout, '1 tried now\n')
    await until('the message at the provider', () => provider.received.length > count)
    assert.match(provider.received.at(-1)?.content ?? '', /Subject: hello there\r\n\r\nbody\r\n$/)
    await until('an empty outbox', () => user.outbox().length === 0)
  },
)

test('what is put off is tried again by itself, and only for whom it was', PLENTY, async () => {
  putOff.add('slow@x.example')
  write('outbox yes;', provider.port, 'agent { retry 1s; };')
  const count = provider.received.length
  const { code, stderr } = await user.sendmail(['slow@x.example', 'no@x.example', 'bob@x.example'], MESSAGE)
  assert.notEqual(code, 0)
  assert.match(stderr, /^sendmail: <no@x\.example>: 550 .*nobody here\n$/)
  assert.equal(provider.received.length, count, 'together or not at all')
  putOff.clear()
  await until('the message at the provider', () => provider.received.length > count)
  assert.deepEqual(provider.received.at(-1)?.recipients, ['slow@x.example', 'bob@x.example'])
  await until('an empty outbox', () => user.outbox().length === 0)
})

test(
  'confirm with nobody there: held, shown, released or removed, never sent by itself',
  PLENTY,
  async () => {
    write('confirm always;')
    const count = provider.received.length
    const { code } = await user.sendmail(['bob@x.example'], MESSAGE)
    assert.equal(code, 0)
    const id = await idOf(/held .*\n +held: awaiting you.*"posthorn outbox release U/)
    await user.posthorn('outbox', 'flush')
    assert.equal(provider.received.length, count)
    const released = await user.posthorn('outbox', 'release', id)
    assert.deepEqual([released.code, released.stdout], [0, 'sent\n'])
    assert.equal(provider.received.length, count + 1)
    await user.sendmail(['bob@x.example'], MESSAGE)
    assert.equal((await user.posthorn('outbox', 'remove', await idOf(/held/))).code, 0)
    assert.match(await user.mailq(), /Your outbox is empty/)
    assert.equal((await user.posthorn('outbox', 'release', id)).code, 66)
    assert.equal(provider.received.length, count + 1)
  },
)

test(
  'a command asks: it is shown who and what, and yes, no and silence are three things',
  PLENTY,
  async () => {
    const question = join(user.home, 'question')
    const answer = (exit: number) => write(`confirm command "cat > ${question}; exit ${exit}";`)
    answer(0)
    const count = provider.received.length
    assert.equal((await user.sendmail(['bob@x.example', 'cyd@x.example'], MESSAGE)).code, 0)
    assert.match(
      readFileSync(question, 'utf8'),
      /^Program: .+\nAccount: work\nFrom: ann@work\.example\nTo: bob@x\.example, cyd@x\.example\nSubject: hello there\n$/,
    )
    assert.equal(provider.received.length, count + 1)
    answer(1)
    const no = await user.sendmail(['bob@x.example'], MESSAGE)
    assert.equal(no.code, 77)
    assert.match(no.stderr, /you said no/)
    answer(9)
    assert.equal((await user.sendmail(['bob@x.example'], MESSAGE)).code, 0)
    assert.equal(provider.received.length, count + 1)
    await user.posthorn('outbox', 'remove', await idOf(/held/))
  },
)

test('confirm first asks once for a program and its recipients', PLENTY, async () => {
  const asked = join(user.home, 'asked')
  write(`confirm first "echo x >> ${asked}; exit 0"; grant 1h;`)
  const send = async (...to: string[]) => assert.equal((await user.sendmail(to, MESSAGE)).code, 0)
  await send('bob@x.example')
  await send('bob@x.example')
  assert.equal(readFileSync(asked, 'utf8'), 'x\n')
  await send('bob@x.example', 'dan@y.example')
  assert.equal(readFileSync(asked, 'utf8'), 'x\nx\n')
  await user.stopAgent()
  await send('dan@y.example')
  assert.equal(readFileSync(asked, 'utf8'), 'x\nx\n', 'grants outlive the agent')
})

test('in a sandbox nothing is sent', PLENTY, async () => {
  write('')
  const sandbox = join(user.home, 'sandbox')
  const count = provider.received.length
  const { code } = await user.sendmail(['-t', 'bob@x.example'], `Bcc: cyd@x.example\n${MESSAGE}`, {
    POSTHORN_SANDBOX: sandbox,
  })
  assert.equal(code, 0)
  const [eml = '', json = ''] = readdirSync(sandbox).toSorted()
  assert.equal(readFileSync(join(sandbox, eml), 'utf8'), MESSAGE.replaceAll('\n', '\r\n'))
  const { recipients, file } = JSON.parse(readFileSync(join(sandbox, json), 'utf8')) as Record<
    string,
    unknown
  >
  assert.deepEqual([recipients, file], [['bob@x.example', 'cyd@x.example'], eml])
  assert.equal(provider.received.length, count)
})

test('a broken accounts.conf is 75 with the way to find out; the agent goes on', PLENTY, async () => {
  user.accounts('account "work" { hots "x"; };')
  const { code, stderr } = await user.sendmail(['bob@x.example'], MESSAGE)
  assert.equal(code, 75)
  assert.match(stderr, /accounts\.conf has mistakes; see "posthorn account check"/)
  const check = await user.posthorn('account', 'check')
  assert.equal(check.code, 1)
  assert.match(
    check.stderr,
    /accounts\.conf:1:18: unknown option `hots` in `account`\n.*\n.*\nhint: did you mean `host`\?/,
  )
  write('')
  assert.equal((await user.sendmail(['bob@x.example'], MESSAGE)).code, 0)
})

test('an agent killed at any moment of handing over loses nothing that got 0', PLENTY, async () => {
  write('confirm always;')
  const accepted: string[] = []
  for (let n = 0; n < 4; n++) {
    const sent = user.sendmail(['--wait', '5', `bob+${n}@x.example`], MESSAGE)
    const pid = user.agentPid()
    if (pid !== null && n % 2 === 1) await killSoon(pid)
    if ((await sent).code === 0) accepted.push(`bob+${n}@x.example`)
  }
  assert.ok(accepted.length >= 2)
  const list = (await user.posthorn('outbox', 'list', '--json')).stdout.trim().split('\n')
  const held = list.map(
    (line) => (JSON.parse(line) as { recipients: { address: string }[] }).recipients[0]?.address,
  )
  for (const address of accepted) assert.ok(held.includes(address), address)
  for (const line of list) await user.posthorn('outbox', 'remove', (JSON.parse(line) as { id: string }).id)
})

async function killSoon(pid: number): Promise<void> {
  await new Promise((done) => setImmediate(done))
  if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL')
}

test('one agent at a time; one in the foreground serves, and ends at SIGTERM', PLENTY, async () => {
  await user.stopAgent()
  write('')
  const said = await user.startAgent()
  const second = await user.posthorn('agent')
  assert.equal(second.code, 69)
  assert.match(second.stderr, /another agent runs already/)
  assert.equal((await user.sendmail(['bob@x.example'], MESSAGE)).code, 0)
  assert.match(said(), /by work: bob@x\.example: sent 250/)
  await user.stopAgent()
})

test('another uid is turned away before it is greeted', {
  ...PLENTY,
  skip: process.getuid?.() !== 0,
}, async () => {
  await user.startAgent()
  const socket = join(user.home, 'run/posthorn/agent.sock')
  const script = join(user.home, 'stranger.cjs')
  writeFileSync(
    script,
    `const s = require('node:net').connect(process.argv[2]); s.on('data', (d) => console.log(String(d))); s.on('close', () => console.log('closed')); s.on('error', (e) => console.log(e.code))`,
  )
  const { execFileSync } = await import('node:child_process')
  for (const path of [user.home, join(user.home, 'run'), join(user.home, 'run/posthorn')])
    execFileSync('chmod', ['755', path])
  execFileSync('chmod', ['666', socket])
  const out = execFileSync(process.execPath, [script, socket], { uid: 65533, gid: 65533, encoding: 'utf8' })
  assert.match(out, /^(closed|ECONNRESET)/)
  assert.doesNotMatch(out, /220/)
})
