/** Real commands: what they are given, what their exit means, and what becomes of those that misbehave. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import fc from 'fast-check'
import { runCommand } from '../../services/lda/command.ts'
import { aliasCommand, environmentOf, harmless, MARK, wordsOf } from '../../services/lda/command-line.ts'
import { CommandFailed, outcomeOf } from '../../services/lda/command-outcome.ts'
import { Gathered } from '../../services/lda/gathered.ts'
import { beginCommand } from '../../services/lda/leftovers.ts'
import { anyCharacter } from '../support/any-character.ts'

let home = ''
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'posthorn-command-'))
  beginCommand()
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

let runs = 0
async function run(script: string, text = 'mail\n', timeout = 60_000): Promise<string> {
  const message = new Gathered([home])
  message.write(Buffer.from(text))
  const mark = `test-${process.pid}-${runs++}`
  let said = ''
  const onWords = (words: string) => {
    said = words
  }
  const env = { PATH: '/usr/bin:/bin', [MARK]: mark }
  const words = ['/bin/sh', '-c', script]
  await runCommand(message, { words, env, home, timeout, mark, onWords }).finally(() => message.close())
  return said
}

async function fails(script: string, timeout?: number): Promise<CommandFailed> {
  const error = await run(script, 'mail\n', timeout).catch((one: unknown) => one)
  assert.ok(error instanceof CommandFailed, String(error))
  return error
}

test('the message is on standard input, small or large', async () => {
  await run('cat > got', 'Subject: x\n\nbody\n')
  assert.equal(readFileSync(join(home, 'got'), 'utf8'), 'Subject: x\n\nbody\n')
  await run('cat > got', 'x'.repeat(1_000_000))
  assert.equal(readFileSync(join(home, 'got'), 'utf8'), 'x'.repeat(1_000_000))
})

test('one that does not read is no trouble', async () => {
  assert.equal(await run('echo done', 'x'.repeat(250_000)), 'done')
})

test('exits: only what speaks of the mail is never', () => {
  assert.equal(outcomeOf(0, null), null)
  for (const code of [65, 66, 67, 68, 69, 76, 77, 100]) assert.equal(outcomeOf(code, null)?.kind, 'never')
  for (const code of [1, 2, 64, 70, 71, 72, 73, 74, 75, 78, 111, 126, 127, 255])
    assert.equal(outcomeOf(code, null)?.kind, 'later')
  assert.equal(outcomeOf(null, 'SIGSEGV')?.kind, 'later')
})

test('an exit and what was said', async () => {
  const refused = await fails('echo no such user >&2; exit 67')
  assert.deepEqual([refused.outcome.kind, refused.outcome.reply.enhanced], ['never', '5.1.1'])
  assert.equal(refused.message, 'no such user')
  assert.equal((await fails('kill -9 $$')).outcome.kind, 'later')
  assert.equal((await fails('exec /no/such/program')).outcome.kind, 'later')
})

test('one that prints without end is read on, and little of it kept', async () => {
  const said = await run('head -c 5000000 /dev/zero | tr "\\0" x; exit 0')
  assert.equal(said.length, 2048)
})

test('one that hangs is killed with all that it started', async () => {
  const late = await fails('sleep 1000 & echo $! > child; trap "" TERM; wait; sleep 1000', 700)
  assert.equal(late.outcome.kind, 'later')
  gone(Number(readFileSync(join(home, 'child'), 'utf8')))
})

test('children that stay behind are killed, with a session of their own too', async () => {
  const native = process.platform === 'linux'
  assert.ok(native)
  await run(
    'sleep 1000 >&- 2>&- & echo $! > child; setsid sh -c "echo \\$\\$ > far; exec sleep 1000" & while [ ! -s far ]; do :; done',
  )
  gone(Number(readFileSync(join(home, 'child'), 'utf8')))
  gone(Number(readFileSync(join(home, 'far'), 'utf8')))
})

test('one that wipes its environment is found all the same', async () => {
  await run('setsid env -i /bin/sh -c "echo \\$\\$ > far; exec sleep 1000" & while [ ! -s far ]; do :; done')
  gone(Number(readFileSync(join(home, 'far'), 'utf8')))
})

/** Killed and reaped before the outcome was known. */
function gone(pid: number): void {
  assert.ok(pid > 1)
  assert.equal(existsSync(`/proc/${pid}`), false, spawnSync('ps', ['-p', String(pid)]).stdout?.toString())
}

test('nothing of ours is open in it', async () => {
  await run('ls -l /proc/self/fd > fds; cat > /dev/null', 'x'.repeat(400_000))
  const open = readFileSync(join(home, 'fds'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('->'))
  const own = open.filter((line) => !/ [012] -> | -> \/proc\/\d+\/fd$/.test(line))
  assert.deepEqual(own, [])
})

const command = { words: ['/bin/x'], shell: false, fromLine: false, name: 'ann', extension: 'x y' }
const mailbox = { user: 'vmail', uid: 1, gid: 1, home: '/h', format: 'pipe', path: '', command } as const

test('the environment is ours alone', () => {
  const occasion = { sender: '-f;x@b', recipient: 'ann+x@example.org', original: '$(id)@c', mark: 'm' }
  const { TZ: _zone, ...env } = environmentOf(mailbox, command, occasion)
  assert.deepEqual(env, {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    HOME: '/h',
    SHELL: '/bin/sh',
    LANG: 'C',
    USER: 'ann',
    LOGNAME: 'ann',
    EXTENSION: 'x_y',
    LOCAL: 'ann+x',
    DOMAIN: 'example.org',
    RECIPIENT: 'ann+x@example.org',
    ORIGINAL_RECIPIENT: '__id_@c',
    SENDER: '_f_x@b',
    POSTHORN_DELIVERY: 'm',
  })
})

test('no name in the environment is more than a name', () => {
  fc.assert(
    fc.property(fc.string({ unit: anyCharacter }), (text) => {
      assert.match(harmless(text), /^(?!-)[\p{L}\p{M}\p{N}!@%_=+:,./-]*$/u)
    }),
  )
})

test('commands of aliases: words where that is plain, else a shell', () => {
  assert.deepEqual(wordsOf(aliasCommand('/usr/bin/vacation ann', 'ann')), ['/usr/bin/vacation', 'ann'])
  assert.deepEqual(wordsOf(aliasCommand('exec /bin/x "$USER"', 'ann')), [
    '/bin/sh',
    '-c',
    'exec /bin/x "$USER"',
  ])
})
