/**
 * The agent under systemd: the units that ship are good by systemd's own word, and the agent takes the socket that
 * systemd hands over, which outlives it. systemd's programs are the machine's, or Debian's, unpacked.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { debianPrograms, type Programs } from '../support/debian.ts'
import { until } from '../support/wait.ts'
import { accountText, newUser, openProvider, type Provider, type User } from './agent-stage.ts'

const timeout = 400_000
const UNITS = ['posthorn-agent.service', 'posthorn-agent.socket']
let user: User
let provider: Provider

before(async () => {
  user = newUser()
  provider = await openProvider({ secure: true })
})
after(async () => {
  await user.close()
  await provider.close()
})

function systemd(t: TestContext): Programs | null {
  const programs = debianPrograms('systemd')
  if (!programs) t.skip('systemd cannot be had here')
  return programs
}

test('systemd finds nothing wrong with the units', { timeout }, (t) => {
  const programs = systemd(t)
  if (!programs) return
  const folder = join(user.home, 'units')
  mkdirSync(folder)
  // it knows its own places for programs only, and ours need not be installed there
  const program = join(folder, 'posthorn')
  writeFileSync(program, '#!/bin/sh\n')
  chmodSync(program, 0o755)
  for (const name of UNITS) {
    const text = readFileSync(`config/user/${name}`, 'utf8')
    writeFileSync(join(folder, name), text.replace('ExecStart=posthorn ', `ExecStart=${program} `))
  }
  const verify = () => {
    const argv = ['verify', '--user', ...UNITS.map((name) => join(folder, name))]
    const env = { ...programs.env, ...user.env, PATH: programs.env['PATH'] }
    const { status, stderr } = spawnSync(programs.find('systemd-analyze') ?? '', argv, {
      env,
      encoding: 'utf8',
    })
    return [status, stderr] as const
  }
  assert.deepEqual(verify(), [0, ''])
  writeFileSync(join(folder, 'posthorn-agent.socket'), '[Socket]\nListenStreem=%t/x\n')
  assert.match(verify()[1], /ListenStreem/, 'it does look')
})

test('the agent takes the socket of systemd, and leaves it to the next', { timeout }, async (t) => {
  const programs = systemd(t)
  if (!programs) return
  user.accounts(accountText('work', provider.port, 'tls implicit; default; sender "ann@work.example";'))
  const socket = join(user.home, 'run/posthorn/agent.sock')
  mkdirSync(join(user.home, 'run/posthorn'), { mode: 0o700 })
  const names = Object.keys(user.env).flatMap((name) => ['-E', name])
  const agent = [process.execPath, resolve('dist/commands/posthorn.js'), 'agent']
  const activate = programs.find('systemd-socket-activate') ?? ''
  for (let round = 1; round <= 2; round++) {
    const child = spawn(activate, ['-l', socket, ...names, ...agent], {
      env: { ...programs.env, ...user.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    t.after(() => end(child))
    let said = ''
    child.stderr?.on('data', (octets: Buffer) => {
      said += String(octets)
    })
    await until('the socket to be there', () => /Listening on/.test(said))
    assert.equal(said.includes('ready'), false, 'nobody runs before there is mail')
    const { code, stderr } = await user.sendmail(['-i', 'bob@x.example'], 'Subject: x\n\nbody\n')
    assert.deepEqual([code, stderr, provider.received.length], [0, '', round])
    assert.match(said, /posthorn agent: ready/)
    await end(child)
    assert.ok(existsSync(socket), 'it belongs to systemd')
  }
})

/** It has become the agent. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}
