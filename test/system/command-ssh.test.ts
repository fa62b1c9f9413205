/**
 * sign-and-send over real ssh, to a real sshd of OpenSSH (Debian's, unpacked) on a port of its own, in a mount namespace
 * with users and keys of its own: by `ssh server sendmail -i`, and by a unix socket that ssh forwards. The server takes
 * nothing unsigned. What cannot be had here is skipped, loudly.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { debianPrograms, type Programs } from '../support/debian.ts'
import { type NameServer, record, startNameServer } from '../support/name-server.ts'
import { type Posthorn, type Result, runProgram, startPosthorn } from '../support/posthorn.ts'
import { signingKey } from '../support/signing-key.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'
import { whyNoNamespace } from './sendmail-daemons.ts'

const timeout = 400_000
const skip = whyNoNamespace()
const signing = signingKey('ed25519')
const home = mkdtempSync(join(tmpdir(), 'posthorn-ssh-'))
let names: NameServer
let sink: Sink
let posthorn: Posthorn
let sshd: { port: number; ssh: string[]; env: NodeJS.ProcessEnv } | null = null
const children: ChildProcess[] = []

before(
  async () => {
    if (skip) return
    const key = 'k._domainkey.client.example'
    names = await startNameServer({ [`TXT ${key}`]: { answers: [record.txt(key, signing.record)] } })
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          more: `
zone "strict.example" { type relay; require-signature yes; hosts { "127.0.0.1" port ${sink.port}; }; };
resolver { nameservers { 127.0.0.1 port ${names.port}; }; };`,
        }),
    })
    const programs = debianPrograms('openssh-server', 'openssh-client')
    if (programs) sshd = await startSshd(programs)
  },
  { timeout },
)
after(
  async () => {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await posthorn?.stop()
    await sink?.close()
    names?.close()
    rmSync(home, { recursive: true, force: true })
  },
  { timeout },
)

async function startSshd(programs: Programs): Promise<typeof sshd> {
  const folder = join(home, 'server')
  mkdirSync(folder, { mode: 0o700 })
  const keygen = programs.find('ssh-keygen')
  const server = programs.find('sshd')
  const client = programs.find('ssh')
  if (!keygen || !server || !client) return null
  for (const name of ['host', 'user'])
    assert.equal(
      spawnSync(keygen, ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)], { env: programs.env })
        .status,
      0,
    )
  const port = await freePort()
  writeFileSync(
    join(folder, 'sshd_config'),
    `ListenAddress 127.0.0.1
Port ${port}
HostKey ${folder}/host
AuthorizedKeysFile ${folder}/user.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
SetEnv POSTHORN_SOCKET=${posthorn.paths.submit}
`,
  )
  writeFileSync(
    join(folder, 'passwd'),
    `root:x:0:0::${home}:/bin/sh\nsshd:x:65533:65533::/run/sshd:/bin/false\n`,
  )
  writeFileSync(join(folder, 'shadow'), 'root:*:19000::::::\nsshd:*:19000::::::\n')
  const script = `
    mount --bind ${folder}/passwd /etc/passwd
    [ ! -e /etc/shadow ] || mount --bind ${folder}/shadow /etc/shadow
    mount -t tmpfs -o mode=755 none /run
    mkdir /run/sshd
    exec ${server} -D -e -f ${folder}/sshd_config`
  const argv = ['-m', '--propagation', 'private', '/bin/sh', '-ec', script]
  const child = spawn('unshare', argv, { env: programs.env, stdio: ['ignore', 'ignore', 'pipe'] })
  children.push(child)
  let said = ''
  child.stderr?.on('data', (octets: Buffer) => {
    said += String(octets)
  })
  await until('sshd to listen', () => {
    if (child.exitCode !== null) throw new Error(`sshd left: ${said}`)
    return /Server listening/.test(said)
  })
  const options = ['StrictHostKeyChecking=no', `UserKnownHostsFile=${folder}/known`, 'BatchMode=yes']
  const words = options.flatMap((option) => ['-o', option])
  const ssh = [client, '-F', 'none', '-q', '-i', join(folder, 'user'), '-p', String(port), ...words]
  return { port, ssh, env: programs.env }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function isMissing(t: TestContext): boolean {
  if (!sshd) t.skip('openssh-server cannot be had here')
  return sshd === null
}

function configure(send: string): void {
  mkdirSync(join(home, '.config', 'posthorn'), { recursive: true })
  writeFileSync(join(home, 'k.pem'), signing.pem, { mode: 0o600 })
  const text = `sender "client.example" { key "k" file "${home}/k.pem"; send ${send}; };\n`
  writeFileSync(join(home, '.config', 'posthorn', 'sign.conf'), text)
}

function signmail(mark: string, ...words: string[]): Promise<Result> {
  const message = `From: Sam <sam@client.example>\nTo: far@strict.example\nSubject: ${mark}\n\n${mark}\n.dot\n`
  const env = { HOME: home, XDG_CONFIG_HOME: '', XDG_STATE_HOME: '', PATH: sshd?.env['PATH'] ?? '' }
  const libraries = { LD_LIBRARY_PATH: sshd?.env['LD_LIBRARY_PATH'] ?? '' }
  return runProgram(resolve('dist/commands/signmail.js'), words, message, { ...env, ...libraries })
}

const fine = { code: 0, stdout: '', stderr: '' }
const quoted = (words: readonly string[]) => words.map((word) => `"${word}"`).join(' ')

async function assertSigned(mark: string, count: number): Promise<void> {
  const mail = (await sink.received(count)).at(-1)
  const text = mail?.content.toString('latin1') ?? ''
  assert.match(text, /^DKIM-Signature:/m)
  assert.ok(text.endsWith(`\r\n\r\n${mark}\r\n.dot\r\n`), text)
  assert.deepEqual([mail?.from, mail?.to], ['sam@client.example', ['far@strict.example']])
}

test('ssh server sendmail -i carries a signed message', { timeout, skip }, async (t) => {
  if (isMissing(t) || !sshd) return
  configure(`command ${quoted([...sshd.ssh, 'root@127.0.0.1', resolve('bin/sendmail'), '-i'])}`)
  const count = sink.mails.length
  assert.deepEqual(await signmail('by-command', '-i', 'far@strict.example'), fine)
  await assertSigned('by-command', count + 1)
})

test('ssh server sendmail -bs, with a fate for each recipient', { timeout, skip }, async (t) => {
  if (isMissing(t) || !sshd) return
  configure(`smtp-command ${quoted([...sshd.ssh, 'root@127.0.0.1', resolve('bin/sendmail'), '-bs'])}`)
  const count = sink.mails.length
  const { code, stderr } = await signmail('by-smtp', '-i', 'far@strict.example', 'nobody@local.example')
  assert.equal(code, 67)
  assert.match(stderr, /^signmail: <nobody@local\.example>: 550 5\.1\.1 /)
  await assertSigned('by-smtp', count + 1)
})

test('a unix socket that ssh forwards', { timeout, skip }, async (t) => {
  if (isMissing(t) || !sshd) return
  const socket = join(home, 'forwarded.sock')
  const [program = '', ...words] = sshd.ssh
  const forward = ['-N', '-o', 'ExitOnForwardFailure=yes', '-L', `${socket}:${posthorn.paths.submit}`]
  const child = spawn(program, [...words, ...forward, 'root@127.0.0.1'], { env: sshd.env, stdio: 'ignore' })
  children.push(child)
  await until('the socket to be there', () => existsSync(socket) && child.exitCode === null)
  configure(`socket "${socket}"`)
  const count = sink.mails.length
  assert.deepEqual(await signmail('by-socket', '-i', 'far@strict.example'), fine)
  await assertSigned('by-socket', count + 1)
})
