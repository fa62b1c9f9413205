/**
 * Passwords out of the real stores: age, pass with gpg, and libsecret's secret-tool against a keyring of its own on a
 * bus of its own. `posthorn account check NAME` logs in with what they give.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { debianPrograms, type Programs } from '../support/debian.ts'
import { accountText, newUser, openProvider, type Provider, type User } from './agent-stage.ts'

const PLENTY = { timeout: 400_000 }
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

function needs(t: { skip: (why: string) => void }, programs: Programs | null): programs is Programs {
  if (programs) {
    Object.assign(user.env, { PATH: programs.env['PATH'], LD_LIBRARY_PATH: programs.env['LD_LIBRARY_PATH'] })
    return true
  }
  t.skip('the package cannot be had here')
  return false
}

function run(program: string, argv: string[], input = ''): string {
  return execFileSync(program, argv, {
    env: user.env,
    input,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

function write(secret: string): void {
  const text = accountText('work', provider.port, 'tls implicit;')
  user.accounts(text.replace('password-command "echo s3cret";', secret))
}

async function assertLetsIn(): Promise<void> {
  const { stdout, stderr } = await user.posthorn('account', 'check', 'work')
  assert.deepEqual([stdout, stderr], ['work: 127.0.0.1 lets ann in\n', ''])
}

test('age, with an identity file', PLENTY, async (t) => {
  if (!needs(t, debianPrograms('age'))) return
  const key = join(user.home, 'id.txt')
  run('age-keygen', ['-o', key])
  const recipient = run('age-keygen', ['-y', key]).trim()
  run('age', ['-r', recipient, '-o', join(user.home, 'p.age')], 's3cret\n')
  write('password-from age "~/p.age" identity "~/id.txt";')
  await assertLetsIn()
  writeFileSync(key, '')
  const { code, stderr } = await user.posthorn('account', 'check', 'work')
  assert.equal(code, 69)
  assert.match(stderr, /age failed with 1/)
  assert.doesNotMatch(stderr, /s3cret/)
})

test('pass, whose other lines are not the password', PLENTY, async (t) => {
  if (!needs(t, debianPrograms('pass', 'gpg', 'gpg-agent'))) return
  mkdirSync(join(user.home, '.gnupg'), { mode: 0o700 })
  run('gpg', [
    '--batch',
    '--quiet',
    '--passphrase',
    '',
    '--quick-generate-key',
    'ann@x.example',
    'default',
    'default',
    'never',
  ])
  t.after(() => run('gpgconf', ['--kill', 'all']))
  run('pass', ['init', 'ann@x.example'])
  run('pass', ['insert', '-m', 'mail/work'], 's3cret\nuser: ann\n')
  write('password-from pass "mail/work";')
  await assertLetsIn()
  write('password-from pass "mail/none";')
  const { stderr } = await user.posthorn('account', 'check', 'work')
  assert.match(stderr, /pass failed with 1/)
})

test('secret-tool, with a keyring', PLENTY, async (t) => {
  if (!needs(t, debianPrograms('libsecret-tools', 'gnome-keyring', 'dbus'))) return
  write('password-from secret-tool "service" "smtp" "user" "ann";')
  const script = join(user.home, 'session.sh')
  writeFileSync(
    script,
    `set -e
mkdir -p "$HOME/.local/share/keyrings"
printf 'of the ring' | gnome-keyring-daemon --unlock --components=secrets >/dev/null
# the daemon leaves the terminal before it has its name on the bus
for n in $(seq 300); do
  printf s3cret | secret-tool store --label=mail service smtp user ann 2>/dev/null && break
  sleep 0.1
done
"$@"
`,
  )
  const check = [process.execPath, resolve('dist/commands/posthorn.js'), 'account', 'check', 'work']
  // not synchronously: the provider is served by this process
  const { stdout } = await promisify(execFile)('dbus-run-session', ['--', 'sh', script, ...check], {
    env: user.env,
  })
  assert.match(stdout, /work: 127\.0\.0\.1 lets ann in\n$/)
})
