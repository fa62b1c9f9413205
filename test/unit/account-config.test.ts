/** accounts.conf: what it says, what is wrong with it and where, and which account a message goes by. */
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Account, chooseAccount, senderOf } from '../../commands/accounts/account.ts'
import { renderAccountOptions } from '../../commands/accounts/options.ts'
import { isListed, matchesPattern, matchesRecipient } from '../../commands/accounts/patterns.ts'
import { readAccounts } from '../../commands/accounts/read.ts'
import { printProblems } from '../../shared/config/problem.ts'

const folder = mkdtempSync(join(tmpdir(), 'posthorn-accounts-'))
const file = join(folder, 'accounts.conf')
after(() => rmSync(folder, { recursive: true }))

function accountsOf(text: string): readonly Account[] {
  writeFileSync(file, text, { mode: 0o600 })
  const read = readAccounts(file)
  assert.equal(read.kind, 'ok', read.kind === 'bad' ? printProblems(read.problems) : '')
  return read.kind === 'ok' ? read.accounts.accounts : []
}

function problemsOf(text: string): string {
  writeFileSync(file, text, { mode: 0o600 })
  const read = readAccounts(file)
  assert.equal(read.kind, 'bad')
  return read.kind === 'bad' ? printProblems(read.problems).replaceAll(`${folder}/`, '') : ''
}

test('config/accounts.md is what the table says', () => {
  assert.equal(readFileSync('config/accounts.md', 'utf8'), renderAccountOptions(), 'posthorn account options')
})

test('the shipped sample is good', () => {
  const text = readFileSync('config/user/accounts.conf', 'utf8')
  assert.deepEqual(
    accountsOf(text).map(({ name, port, tls }) => [name, port, tls]),
    [
      ['work', 465, 'implicit'],
      ['home', 587, 'starttls'],
      ['lists', 587, 'starttls'],
    ],
  )
})

test('every option is read, and inherited but for from, default and inherit', () => {
  const [one, two] = accountsOf(`
account "one" {
  from "*@a.example" "b@c.example"; default; sender "b@c.example"; host "h.example" port 2525; protocol lmtp;
  tls starttls; tls-trust "ca.pem"; tls-fingerprint "${'AB:'.repeat(31)}AB"; tls-certificate "~/c.pem"; tls-key "/k.pem";
  socks5 "127.0.0.1" port 9050; hello "me.example"; auth user "u" plain oauthbearer; password-from age "p.age" identity "id";
  token-command "token"; confirm first "ask"; confirm-recipients { !"*@*.a.example"; any; }; grant 2h; outbox yes; timeout 5s;
};
account "two" { inherit "one"; password-command "other"; confirm command "c"; };
agent { idle 1h; message-size-limit 1M; retry 1m 2m; lifetime 1d; };`)
  const common = {
    host: 'h.example',
    port: 2525,
    protocol: 'lmtp',
    tls: 'starttls',
    trust: join(folder, 'ca.pem'),
    fingerprints: ['ab'.repeat(32)],
    certificate: join(homedir(), 'c.pem'),
    key: '/k.pem',
    socks: { host: '127.0.0.1', port: 9050 },
    hello: 'me.example',
    user: 'u',
    mechanisms: ['plain', 'oauthbearer'],
    tokenCommand: 'token',
    confirmRecipients: [
      { negated: true, pattern: '*@*.a.example' },
      { negated: false, pattern: '*' },
    ],
    grant: 7_200_000,
    outbox: true,
    timeout: 5000,
    sender: 'b@c.example',
  }
  assert.deepEqual(one, {
    ...common,
    name: 'one',
    from: ['*@a.example', 'b@c.example'],
    isDefault: true,
    secret: { kind: 'age', file: join(folder, 'p.age'), identity: join(folder, 'id') },
    confirm: { when: 'first', command: 'ask' },
  })
  assert.deepEqual(two, {
    ...common,
    name: 'two',
    from: [],
    isDefault: false,
    secret: { kind: 'command', line: 'other' },
    confirm: { when: 'always', command: 'c' },
  })
})

test('mistakes have a place and a hint, all at once', () => {
  const text = readFileSync('test/config/accounts/bad.conf', 'utf8')
  assert.equal(problemsOf(text), readFileSync('test/config/accounts/bad.expected', 'utf8'))
})

test('a file that others may write to is not believed: it names commands', () => {
  writeFileSync(file, 'account "a" { host "x.example"; };')
  chmodSync(file, 0o664)
  const read = readAccounts(file)
  chmodSync(file, 0o600)
  assert.equal(read.kind, 'bad')
  assert.match(
    read.kind === 'bad' ? printProblems(read.problems) : '',
    /may be written to by others\n.*\n.*\nhint: chmod go-w/,
  )
})

test('no file, no account: said, not thrown', () => {
  const read = readAccounts(join(folder, 'absent.conf'))
  assert.match(read.kind === 'bad' ? printProblems(read.problems) : '', /there is no such file/)
  assert.match(problemsOf('agent { idle 1h; };'), /there is no account/)
})

test('-a, then -f, then From, then the default; what says more wins', () => {
  const accounts = accountsOf(`account "wide" { host "h.example"; from "*@a.example"; };
account "narrow" { host "h.example"; from "ann+*@a.example"; };
account "exact" { host "h.example"; from "ann@a.example"; };
account "rest" { host "h.example"; default; };`)
  const chosen = (sender: string, from: string, name: string | null = null) => {
    const choice = chooseAccount(accounts, { name, sender, from })
    return choice.kind === 'account' ? choice.account.name : choice.why.text
  }
  assert.equal(chosen('ann@a.example', '', 'wide'), 'wide')
  assert.equal(chosen('', '', 'none'), 'there is no account none; there is wide, narrow, exact, rest')
  assert.equal(chosen('Ann@A.example', ''), 'exact')
  assert.equal(chosen('ann+x@a.example', ''), 'narrow')
  assert.equal(chosen('bob@a.example', ''), 'wide')
  assert.equal(chosen('bob@b.example', 'ann@a.example'), 'exact')
  assert.equal(chosen('ann', 'bob@a.example'), 'wide')
  assert.equal(chosen('ann', ''), 'rest')
  const [wide] = accounts
  assert.ok(wide)
  assert.equal(senderOf(wide, { sender: 'x@y', from: '' }), 'x@y')
  assert.equal(senderOf(wide, { sender: '', from: 'bob@a.example' }), '')
  assert.equal(senderOf(wide, { sender: 'ann', from: 'bob@a.example' }), 'bob@a.example')
  assert.equal(senderOf(wide, { sender: 'ann', from: 'bob@b.example' }), null)
})

test('patterns take every text for each *, in linear time', () => {
  assert.ok(matchesPattern('*', 'a@b'))
  assert.ok(matchesPattern('a*@*.c', 'A@b.C'))
  assert.ok(!matchesPattern('a@b', 'a@bc'))
  assert.ok(!matchesPattern('ab*ba', 'aba'))
  assert.ok(!matchesPattern(`${'*a'.repeat(50)}b`, 'a'.repeat(100_000)))
})

test('recipients by pattern: the first that fits decides, detail counts only where it is written', () => {
  assert.ok(matchesRecipient('*@*.x.example', 'q@a.b.x.example'))
  assert.ok(!matchesRecipient('*@*.x.example', 'q@x.example'))
  assert.ok(matchesRecipient('ann@x.example', 'Ann+list@X.example'))
  assert.ok(matchesRecipient('ann+*@x.example', 'ann+list@x.example'))
  assert.ok(!matchesRecipient('ann+*@x.example', 'ann@x.example'))
  assert.ok(!matchesRecipient('ann+a@x.example', 'ann+b@x.example'))
  assert.ok(!matchesRecipient('ann@x.example', '+list@x.example'))
  const list = [
    { negated: false, pattern: 'boss@x.example' },
    { negated: true, pattern: '*@x.example' },
    { negated: false, pattern: '*' },
  ]
  const asked = ['boss+now@x.example', 'q@x.example', 'q@y.example'].map((one) => isListed(list, one))
  assert.deepEqual(asked, [true, false, true])
  assert.equal(isListed([], 'q@y.example'), false)
})

test('mistakes in confirm-recipients are found where they are', () => {
  const account = (list: string) => `account "a" { host "h.example"; from "*"; confirm-recipients ${list}; };`
  assert.match(problemsOf(account('{ "no pattern"; }')), /`no pattern` is no pattern of addresses/)
  assert.match(problemsOf(account('{ }')), /this list is empty/)
  assert.match(problemsOf(account('{ ! ; }')), /accounts\.conf:1:\d+/)
})
