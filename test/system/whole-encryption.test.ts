/**
 * Mailboxes that hold ciphertext only: what is stored is opened again by Debian's age and by gpg, and no file of the
 * server has a word of it.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { debianPrograms, type Programs } from '../support/debian.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 400_000
const users = ['anna', 'ben', 'carl', 'dora', 'eve']
let age: Programs | null
let gpg: Programs | null
let posthorn: Posthorn
/** Of age, made before the server starts: its public half stands in the config. */
let identity = ''
let recipient = ''

before(
  async () => {
    age = debianPrograms('age')
    gpg = debianPrograms('gpg', 'gpg-agent')
    if (age) {
      identity = run(age, 'age-keygen', [])
      recipient = run(age, 'age-keygen', ['-y'], identity).trim()
    }
    posthorn = await startPosthorn({ config: (paths) => configOf(paths), users })
  },
  { timeout },
)
after(async () => assert.equal(await posthorn.stop(), 0), { timeout })

function configOf(paths: Parameters<Parameters<typeof startPosthorn>[0]['config']>[0]): string {
  const zone = (name: string, encryption: string) =>
    `zone "${name}" { type local; mailboxes "${paths.users}"; deliver maildir "~/Maildir" encrypt-to ${encryption}; };`
  const more = [
    zone('age.example', `"${recipient || 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'}"`),
    zone('file.example', '"~/age-recipients" show-header'),
    zone('pgp.example', 'openpgp "carl@pgp.example" show-header'),
    zone('asc.example', 'openpgp "~/key.asc"'),
  ]
  return testConfig(paths, { mx: 'cut-through yes; cut-through-deadline 30s;', more: more.join('\n') })
}

function run(programs: Programs, program: string, words: string[], input = '', env = {}): string {
  const options = { env: { ...programs.env, ...env }, input, maxBuffer: 1 << 26, stdio: 'pipe' } as const
  return execFileSync(programs.find(program) ?? program, words, options).toString('latin1')
}

function needs(t: TestContext, programs: Programs | null): programs is Programs {
  if (!programs) t.skip('the package cannot be had here')
  return programs !== null
}

const send = (to: string, content: string) =>
  sendMail(posthorn.ports['mx'] ?? 0, { from: 'x@client.example', to: [to], content })

async function stored(user: string, count = 1): Promise<string> {
  const mails = await mailsIn(posthorn.maildir(user), count)
  return mails.at(-1)?.content.toString('latin1') ?? ''
}

function openWithAge(programs: Programs, mail: string): string {
  const key = join(posthorn.paths.directory, 'identity')
  writeFileSync(key, identity)
  const [armour = ''] = /-----BEGIN AGE[\s\S]*-----END AGE ENCRYPTED FILE-----\n/.exec(mail) ?? []
  return run(programs, 'age', ['-d', '-i', key], armour)
}

function keyring(programs: Programs, home: string, address: string, expires = 'never'): NodeJS.ProcessEnv {
  const folder = join(home, '.gnupg')
  mkdirSync(folder, { mode: 0o700 })
  const env = { GNUPGHOME: folder }
  const words = ['--batch', '--quiet', '--passphrase', '', '--quick-generate-key', address]
  run(programs, 'gpg', [...words, 'default', 'default', expires], '', env)
  return env
}

const homeOf = (user: string) => join(posthorn.maildir(user), '..')

function openWithGpg(programs: Programs, mail: string, env: NodeJS.ProcessEnv): string {
  const [armour = ''] = /-----BEGIN PGP[\s\S]*-----END PGP MESSAGE-----\n/.exec(mail) ?? []
  return run(programs, 'gpg', ['--batch', '--quiet', '-d'], armour, env)
}

/** Every file below, for the word. */
function filesWith(word: string, folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return filesWith(word, path)
    return entry.isFile() && statSync(path).size > 0 && readFileSync(path).includes(word) ? [path] : []
  })
}

test('age opens what is stored, and nothing else of the server has it', { timeout }, async (t) => {
  if (!needs(t, age)) return
  const content = 'From: Bob <bob@client.example>\r\nSubject: hushhush\r\n\r\nd\xf6 not re\xe4d\r\n..me\r\n'
  const { code } = await send('anna@age.example', content.replace('..me', 'xyzzy'))
  assert.equal(code, 250)
  const mail = await stored('anna')
  const plain = openWithAge(age, mail)
  assert.match(plain, /^Return-Path: <x@client\.example>\nDelivered-To: anna@age\.example\nReceived: /)
  assert.match(plain, /\nSubject: hushhush\n\nd\xc3\xb6 not re\xc3\xa4d\nxyzzy\n$/)
  const [header = ''] = mail.split('\n\n')
  assert.match(
    header,
    /^From: \.\.\. <encrypted@invalid>\nDate: .* \+0000\nSubject: \.\.\.\nMIME-Version: 1\.0\n/,
  )
  assert.match(header, /\nContent-Type: multipart\/encrypted; protocol="application\/vnd\.posthorn\.age";/)
  for (const word of ['hushhush', 'xyzzy', 'bob@client.example'])
    assert.deepEqual(filesWith(word, posthorn.paths.directory), [])
})

test('a large message streams through, for the keys of a file', { timeout }, async (t) => {
  if (!needs(t, age)) return
  writeFileSync(join(homeOf('ben'), 'age-recipients'), `# mine\n\n${recipient}\n`)
  const { content } = makeSpecimen(600_000)
  assert.equal((await send('ben@file.example', content)).code, 250)
  const mail = await stored('ben')
  assert.ok(openWithAge(age, mail).endsWith(content.replaceAll('\r\n', '\n')))
  const subject = /^Subject: (.*)\r$/m.exec(content)?.[1] ?? 'none'
  assert.ok(!mail.includes(subject))
  assert.match(mail, new RegExp(`^${/^From: .*(?=\r)/m.exec(content)?.[0] ?? 'From: none'}$`, 'm'))
})

test('a key that is missing keeps mail waiting, and a new one sets it free', { timeout }, async (t) => {
  if (!needs(t, age)) return
  const content = 'From: <b@client.example>\r\nSubject: waits\r\n\r\nhere\r\n'
  assert.equal((await send('eve@file.example', content)).code, 250)
  await posthorn.logged(/the key of the mailbox cannot be used.*age-recipients/)
  assert.deepEqual(readdirSync(join(posthorn.maildir('eve'), 'tmp')), [])
  writeFileSync(join(homeOf('eve'), 'age-recipients'), `${recipient}\n`)
  assert.match(openWithAge(age, await stored('eve')), /\nSubject: waits\n\nhere\n$/)
})

test('gpg opens what is stored, small and large', { timeout }, async (t) => {
  if (!needs(t, gpg)) return
  const env = keyring(gpg, homeOf('carl'), 'carl@pgp.example')
  t.after(() => gpg && run(gpg, 'gpgconf', ['--kill', 'all'], '', env))
  const header = 'From: <bob@client.example>\r\nDate: Fri, 1 Jan 2027 00:00:00 +0000\r\nMessage-ID: <1@x>\r\n'
  const content = `${header}Subject: hush\r\nContent-Type: text/plain; charset=utf-8;\r\n\r\nsecret\r\n`
  assert.equal((await send('carl@pgp.example', content)).code, 250)
  const mail = await stored('carl')
  assert.match(
    mail,
    /^From: <bob@client\.example>\nDate: Fri, 1 Jan 2027 .*\nMessage-ID: <1@x>\nSubject: \.\.\.\n/,
  )
  assert.match(mail, /multipart\/encrypted; protocol="application\/pgp-encrypted"/)
  const plain = openWithGpg(gpg, mail, env)
  assert.match(plain, /^Return-Path: <x@client\.example>\r\nDelivered-To: carl@pgp\.example\r\n/)
  const marked = 'charset=utf-8;\r\n\tprotected-headers="v1"; hp="cipher"\r\n\r\nsecret\r\n'
  assert.ok(plain.endsWith(`${header}Subject: hush\r\nContent-Type: text/plain; ${marked}`))
  const { content: large } = makeSpecimen(600_000)
  assert.equal((await send('carl@pgp.example', large)).code, 250)
  await mailsIn(posthorn.maildir('carl'), 2)
  const opened = (await mailsIn(posthorn.maildir('carl'), 2)).map((one) =>
    openWithGpg(gpg as Programs, one.content.toString('latin1'), env),
  )
  const body = large.slice(large.indexOf('\r\n\r\n'))
  assert.ok(opened.some((one) => one.endsWith(body)))
})

test('a key in a file needs no keyring; one that has expired keeps mail waiting', { timeout }, async (t) => {
  if (!needs(t, gpg)) return
  const home = join(posthorn.paths.directory, 'elsewhere')
  mkdirSync(home)
  const env = keyring(gpg, home, 'dora@asc.example')
  t.after(() => gpg && run(gpg, 'gpgconf', ['--kill', 'all'], '', env))
  const file = join(homeOf('dora'), 'key.asc')
  const past = ['--batch', '--quiet', '--passphrase', '', '--faked-system-time', '20200101T000000!']
  run(gpg, 'gpg', [...past, '--quick-generate-key', 'old@asc.example', 'default', 'default', '1d'], '', env)
  writeFileSync(file, run(gpg, 'gpg', ['--armor', '--export', 'old@asc.example'], '', env))
  assert.equal((await send('dora@asc.example', 'Subject: one\r\n\r\nkeyless\r\n')).code, 250)
  await posthorn.logged(/the key of the mailbox cannot be used.*key\.asc/)
  writeFileSync(file, run(gpg, 'gpg', ['--armor', '--export', 'dora@asc.example'], '', env))
  assert.match(openWithGpg(gpg, await stored('dora'), env), /\r\n\r\nkeyless\r\n$/)
})

test('what is encrypted already is stored as it is', { timeout }, async (t) => {
  if (!needs(t, age)) return
  const type = 'multipart/encrypted; protocol="application/pgp-encrypted"; boundary="b"'
  const content = `Subject: mine\r\nContent-Type: ${type}\r\n\r\n--b\r\n\r\nsealed\r\n--b--\r\n`
  assert.equal((await send('dora@age.example', content)).code, 250)
  await mailsIn(posthorn.maildir('dora'), 1)
  const found = filesWith('sealed', posthorn.maildir('dora')).map((file) => readFileSync(file, 'latin1'))
  assert.equal(found.length, 1)
  assert.match(
    found[0] ?? '',
    /^Return-Path: <x@client\.example>\nDelivered-To: dora@age\.example\nReceived: /,
  )
  assert.ok(found[0]?.endsWith(content.replaceAll('\r\n', '\n')))
})
