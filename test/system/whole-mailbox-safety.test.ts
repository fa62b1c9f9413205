/**
 * Local delivery as root runs it, with users who would like each other's files: who an lda is and what it has open, what a
 * second user can do with links in a loop, and whom a full disk holds up. Needs root.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Paths, type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const skip = process.getuid?.() === 0 ? false : 'this needs root: nothing of it was tested'
const options = { timeout: 180_000, skip }
const ANN = 5533
const EVE = 5534
const BEN = 5535
let posthorn: Posthorn

const place = (...path: string[]) => join(posthorn.paths.directory, ...path)

before(async () => {
  if (skip) return
  process.env['SECRET_OF_THE_TEST'] = 'not for users'
  posthorn = await startPosthorn({ asUsers: true, config: configOf })
})

after(async () => {
  if (!skip) assert.equal(await posthorn.stop(), 0)
})

function configOf(paths: Paths): string {
  const { directory } = paths
  chmodSync(directory, 0o755)
  mkdirSync(join(directory, 'homes'), { mode: 0o755 })
  for (const [name, uid] of [
    ['ann', ANN],
    ['eve', EVE],
    ['ben', BEN],
  ] as const) {
    const home = join(directory, 'homes', name)
    mkdirSync(home, { mode: 0o755 })
    chownSync(home, uid, uid)
  }
  // as /tmp is, and one that nobody should have made
  for (const [name, mode] of [
    ['sticky', 0o1777],
    ['open', 0o777],
  ] as const) {
    mkdirSync(join(directory, name))
    chmodSync(join(directory, name), mode)
  }
  const home = (name: string) => join(directory, 'homes', name)
  writeFileSync(
    paths.users,
    `ann:${ANN}:${ANN}:${home('ann')}\neve:${EVE}:${EVE}:${home('eve')}\nben:${BEN}:${BEN}:${home('ben')}\n`,
  )
  const zone = (name: string, deliver: string) =>
    `zone "${name}.example" { type local; mailboxes "${paths.users}"; deliver ${deliver}; };`
  const more = [
    zone('sticky', `mbox "${join(directory, 'sticky')}/%u"`),
    zone('open', `mbox "${join(directory, 'open')}/%u.mbox"`),
    zone('maildir', `maildir "${join(directory, 'open')}/%u/Maildir"`),
    zone(
      'pipe',
      'pipe "/bin/sh" "-c" "sleep 1000 & cat /proc/self/status > $HOME/status; cat > $HOME/piped"',
    ),
    'lda { limit 2; idle-timeout 30s; };',
  ]
  return testConfig(paths, {
    processes:
      'qmgr-user "daemon"; smtpd-user "bin"; submission-user "uucp"; smtpc-user "games"; resolver-user "lp"; group "games";',
    qmgr: 'retry 200ms;',
    more: more.join('\n'),
  })
}

function send(to: string, subject = 'x', body = 'body'): Promise<unknown> {
  const content = `Subject: ${subject}\r\n\r\n${body}\r\n`
  return sendMail(posthorn.ports['mx'] ?? 0, { from: 'x@client.example', to: [to], content })
}

test('an lda is its user, with no group, descriptor or word of ours', options, async () => {
  await send('ann@local.example')
  await mailsIn(place('homes/ann/Maildir'), 1)
  const pid = posthorn.worker(`lda-${ANN}`)
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const ids = [ANN, ANN, ANN, ANN].join('\t')
  assert.match(status, new RegExp(`^Uid:\t${ids}$`, 'm'))
  assert.match(status, new RegExp(`^Gid:\t${ids}$`, 'm'))
  assert.match(status, /^Groups:\s*(5533\s*)?$/m)
  assert.match(status, /^CapEff:\t0+$/m)
  assert.match(status, /^NoNewPrivs:\t1$/m)
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean)
  const names = environment.map((one) => one.split('=', 1)[0])
  assert.deepEqual(
    names.filter((name) => !/^(TZ|UV_THREADPOOL_SIZE|NODE_CHANNEL_\w+)$/.test(name ?? '')),
    [],
  )
  const open = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => linkOf(`/proc/${pid}/fd/${fd}`))
  assert.deepEqual(
    open.filter((path) => path.startsWith('/') && path !== '/dev/null'),
    [],
  )
  const peak = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
  assert.ok(peak < 90, `${peak} MiB`)
})

function linkOf(path: string): string[] {
  try {
    return [readlinkSync(path)]
  } catch {
    return [] // closed meanwhile
  }
}

test('a command is the same user, and nothing of it stays', options, async () => {
  await send('ben@pipe.example')
  await posthorn.queueEmpty()
  assert.match(readFileSync(place('homes/ben/piped'), 'utf8'), /^Return-Path:[\s\S]*body\n$/)
  assert.match(
    readFileSync(place('homes/ben/status'), 'utf8'),
    new RegExp(`^Uid:\t${BEN}\t${BEN}\t${BEN}\t${BEN}$`, 'm'),
  )
  assert.match(readFileSync(place('homes/ben/status'), 'utf8'), /^NoNewPrivs:\t1$/m)
  const left = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && isSleepOf(pid, BEN))
  assert.deepEqual(left, [])
})

function isSleepOf(pid: string, uid: number): boolean {
  try {
    return (
      statSync(`/proc/${pid}`).uid === uid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep')
    )
  } catch {
    return false
  }
}

test('no more processes than the limit, and everybody’s mail arrives', options, async () => {
  const names = ['ann', 'eve', 'ben']
  await Promise.all([...Array(30).keys()].map((n) => send(`${names[n % 3]}@local.example`, `n${n}`)))
  await posthorn.queueEmpty(60_000)
  const running = posthorn.workers().filter(({ name }) => name.startsWith('lda-'))
  assert.ok(running.length <= 2, String(running.length))
  for (const name of names) assert.ok((await mailsIn(place('homes', name, 'Maildir'), 10)).length >= 10)
})

/** What eve does, as eve, until she is stopped. */
function loop(script: string): ChildProcess {
  return spawn('/bin/sh', ['-c', `cd "${posthorn.paths.directory}"; while :; do ${script}; done`], {
    uid: EVE,
    gid: EVE,
    stdio: 'ignore',
    detached: true,
  })
}

async function stop(child: ChildProcess): Promise<void> {
  const left = once(child, 'exit')
  process.kill(-(child.pid ?? 0), 'SIGKILL')
  await left
}

test('links in a loop: nothing outside the mailbox is touched, nothing is lost', options, async () => {
  const secret = place('homes/ann/secret')
  writeFileSync(secret, 'of ann\n', { mode: 0o600 })
  chownSync(secret, ANN, ANN)
  const own = place('homes/eve/own')
  writeFileSync(own, 'of eve\n', { mode: 0o666 })
  chownSync(own, EVE, EVE)
  const racing = loop(
    `ln -sf "${secret}" sticky/ann; rm -f sticky/ann; ln -f "${secret}" sticky/ann; rm -f sticky/ann; ` +
      `ln "${own}" sticky/ann; rm -f sticky/ann; mkfifo sticky/ann; rm -f sticky/ann; ` +
      `ln -sf "${secret}" sticky/ann.lock; rm -f sticky/ann.lock; ` +
      `mv sticky/ann sticky/other; mkdir -p open/ann/Maildir; rm -rf open/ann; ` +
      `ln -sfn "${place('homes/ann')}" open/ann; rm -rf open/ann; ln -sf "${secret}" open/ann.mbox; rm -f open/ann open/ann.mbox`,
  )
  const counts = 40
  for (let n = 0; n < counts; n++) await send('ann@sticky.example', `race ${n}`)
  for (let n = 0; n < 5; n++) {
    await send('ann@open.example', `open ${n}`)
    await send('ann@maildir.example', `maildir ${n}`)
  }
  await posthorn.logged(/others can write to/)
  await until('tries of each', async () => (await posthorn.queue()).every(({ attempts }) => attempts > 0))
  await stop(racing)
  for (const name of ['ann', 'ann.lock', 'other']) {
    const path = place('sticky', name)
    if (lstatSync(path, { throwIfNoEntry: false })?.uid === EVE) rmSync(path)
  }
  const inbox = place('sticky/ann')
  const subjects = () =>
    existsSync(inbox)
      ? [...readFileSync(inbox, 'utf8').matchAll(/^Subject: race (\d+)$/gm)].map(([, n]) => Number(n))
      : []
  await until('all that was sent', () => subjects().length >= counts, 60_000)
  assert.deepEqual(
    subjects().sort((a, b) => a - b),
    [...Array(counts).keys()],
  )
  assert.equal(statSync(inbox).uid, ANN)
  rmSync(place('open'), { recursive: true })
  for (const path of [place('open'), place('open/ann')]) {
    mkdirSync(path)
    chownSync(path, ANN, ANN)
  }
  await posthorn.queueEmpty(60_000)
  assert.equal((await mailsIn(place('open/ann/Maildir'), 5)).length, 5)
  assert.equal(readFileSync(secret, 'utf8'), 'of ann\n')
  assert.equal(readFileSync(own, 'utf8'), 'of eve\n')
})

test('links, devices and files of others in the place of a mailbox', options, async () => {
  const target = place('homes/ben/target')
  writeFileSync(target, 'of ben\n', { mode: 0o600 })
  chownSync(target, BEN, BEN)
  const path = place('sticky/ben')
  const kinds: [string, () => void][] = [
    ['a link', () => symlinkSync(target, path)],
    ['a second name', () => linkSync(target, path)],
    ['a pipe', () => assert.equal(spawnSync('mkfifo', ['-m', '666', path]).status, 0)],
    ['a device', () => assert.equal(spawnSync('mknod', ['-m', '666', path, 'c', '1', '3']).status, 0)],
    ['somebody else’s', () => writeFileSync(path, '', { mode: 0o666 })],
    ['a directory', () => mkdirSync(path)],
  ]
  for (const [what, make] of kinds) {
    make()
    await send('ben@sticky.example', what)
    await until(`a try with ${what}`, async () =>
      (await posthorn.queue()).some(({ attempts }) => attempts > 0),
    )
    assert.equal(lstatSync(path).size === 0 || what !== 'somebody else’s', true)
    rmSync(path, { recursive: true })
    await posthorn.queueEmpty(60_000)
    rmSync(path)
  }
  assert.equal(readFileSync(target, 'utf8'), 'of ben\n')
})

test('the full disk of one user defers that user alone', options, async (t) => {
  const home = place('homes/eve')
  rmSync(home, { recursive: true })
  mkdirSync(home)
  const mounted = spawnSync('mount', [
    '-t',
    'tmpfs',
    '-o',
    `size=256k,mode=0755,uid=${EVE},gid=${EVE}`,
    'full',
    home,
  ])
  if (mounted.status !== 0) return t.skip(`no tmpfs here: ${mounted.stderr}`)
  t.after(() => spawnSync('umount', [home]))
  writeFileSync(join(home, 'ballast'), Buffer.alloc(200_000))
  const body = `${'x'.repeat(70)}\r\n`.repeat(1500)
  await send('eve@local.example', 'large', body)
  const before = (await mailsIn(place('homes/ann/Maildir'), 1)).length
  for (let n = 0; n < 5; n++) await send('ann@local.example', `meanwhile ${n}`)
  await mailsIn(place('homes/ann/Maildir'), before + 5)
  await posthorn.logged(/no space left for the mailbox/)
  const waiting = await until('hers alone', async () => {
    const rows = await posthorn.queue()
    return rows.length === 1 && rows
  })
  assert.equal(waiting[0]?.recipient, 'eve@local.example')
  rmSync(join(home, 'ballast'))
  await posthorn.queueEmpty(60_000)
  assert.equal((await mailsIn(join(home, 'Maildir'), 1)).length, 1)
  spawnSync('umount', [home])
})
