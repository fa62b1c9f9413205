/**
 * The files of the resolver: mailbox files, /etc/passwd, alias files, hosts, resolv.conf; with their faults.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseResolvConf, parseServer } from '../../services/resolver/dns/servers.ts'
import { parseHosts } from '../../services/resolver/hosts-file.ts'
import { hasMailbox, maildirOf, parseMailboxFile, parsePasswd } from '../../services/resolver/users.ts'
import { type AliasTarget, parseAliasFile } from '../../shared/config/alias-file.ts'
import { formatAddress } from '../../shared/smtp/address.ts'

const caller = { uid: 1234, gid: 56 }

test('a mailbox file: comments, own Maildirs, relative homes', () => {
  const text = [
    '# people',
    '',
    'Ann:1001:1002:/home/ann',
    'bob.b:1001:1001:/srv/bob:mail/in',
    '  carol:1003:1003:../spool/carol:~/Inbox  ',
    'dave:1004:1004:/srv/dave:/var/mail/dave',
  ].join('\n')
  const { value, faults } = parseMailboxFile(text, '/etc/posthorn', null)
  assert.deepEqual(faults, [])
  const paths = [...value].map(([name, user]) =>
    user === 'faulty' ? user : [name, user.uid, user.home, maildirOf(user, '~/M')],
  )
  assert.deepEqual(paths, [
    ['ann', 1001, '/home/ann', '/home/ann/M'],
    ['bob.b', 1001, '/srv/bob', '/srv/bob/mail/in'],
    ['carol', 1003, '/etc/spool/carol', '/etc/spool/carol/Inbox'],
    ['dave', 1004, '/srv/dave', '/var/mail/dave'],
  ])
})

const badLines: [line: string, why: RegExp, name: string | null][] = [
  ['ann:1:1', /expected name:uid:gid:home/, 'ann'],
  ['ann:1:1:/home/ann:m:x', /expected name:uid:gid:home/, 'ann'],
  ['just words', /expected name/, 'just words'],
  ['ann@x:1:1:/home/ann', /no name of a mailbox/, 'ann@x'],
  ['../ann:1:1:/home/ann', /no name of a mailbox/, '../ann'],
  [':1:1:/home/ann', /no name of a mailbox/, null],
  ['ann:x:1:/home/ann', /are numbers/, 'ann'],
  ['ann:-1:1:/home/ann', /are numbers/, 'ann'],
  ['ann:4294967295:1:/home/ann', /are numbers/, 'ann'],
  ['ann:::/home/ann', /only without root/, 'ann'],
  ['ann:0:0:/root', /root has no mailbox/, 'ann'],
  ['ann:1:1:', /home is missing/, 'ann'],
]
for (const [line, why, name] of badLines) {
  test(`the mailbox line ${line} is a fault, and its name is remembered as one`, () => {
    const { value, faults } = parseMailboxFile(`\n${line}\nzoe:9:9:/z`, '/etc', null)
    assert.equal(faults.length, 1)
    assert.equal(faults[0]?.line, 2)
    assert.match(faults[0]?.why ?? '', why)
    assert.equal(value.get(name ?? 'zoe') === 'faulty', name !== null)
    assert.notEqual(value.get('zoe'), 'faulty')
  })
}

test('the first of two equal mailboxes counts', () => {
  const { value, faults } = parseMailboxFile('ann:1:1:/a\nANN:2:2:/b', '/etc', null)
  assert.deepEqual(value.get('ann'), { name: 'ann', uid: 1, gid: 1, home: '/a', maildir: null })
  assert.deepEqual(faults, [{ line: 2, why: 'ann has a mailbox already' }])
})

test('empty uid and gid are the caller, where there is one', () => {
  const { value } = parseMailboxFile('demo:::/d', '/etc', caller)
  assert.deepEqual(value.get('demo'), { name: 'demo', uid: 1234, gid: 56, home: '/d', maildir: null })
})

test('/etc/passwd: who has a mailbox', () => {
  const text = [
    'root:x:0:0:root:/root:/bin/bash',
    'daemon:x:1:1::/usr/sbin:/usr/sbin/nologin',
    'Ann:x:1000:1000:Ann,,,:/home/ann:/bin/bash',
    'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
    'broken:x:zzz:1::/x:/y',
    '+::::::',
    '',
  ].join('\n')
  const { value } = parsePasswd(text)
  const local = [...value.byName.values()]
    .filter((user) => hasMailbox(user, 500, null))
    .map(({ name }) => name)
  assert.deepEqual(local, ['Ann'])
  assert.equal(value.byUid.get(1), 'daemon')
  const root = value.byName.get('root')
  assert.ok(root)
  assert.equal(hasMailbox(root, 0, null), false, 'root has none, whatever the minimum')
  assert.equal(hasMailbox(root, 1000, { uid: 0, gid: 0 }), true, 'unless everything runs as root')
})

function shown(target: AliasTarget): string {
  if (target.kind === 'address') return `${target.final ? '!' : ''}${formatAddress(target.address)}`
  return `${target.kind} ${target.text}`
}

const aliasLines: [line: string, targets: string[], name?: string][] = [
  ['a: b', ['b']],
  ['a:b,c , d', ['b', 'c', 'd']],
  ['A: B@Example.ORG', ['B@example.org']],
  ['a : b', ['b']],
  ['"first last": b', ['b'], 'first last'],
  ['"a:b": c', ['c'], 'a:b'],
  ['a: "c d"@x.example, "e, f"@x.example', ['"c d"@x.example', '"e, f"@x.example']],
  ['a: "b c"', ['"b c"']],
  ['a: Bob <bob@x.example>, "Smith, C" <c@x.example>', ['bob@x.example', 'c@x.example']],
  ['a: b (on, leave (till May)), c', ['b', 'c']],
  ['a: \\a, b', ['!a', 'b']],
  ['a: b,,c,', ['b', 'c']],
  ['a: b\n  c\n\n# between\n\t, d', ['faulty b c', 'd']],
  ['a: b,\n   c,\n# between\n\td', ['b', 'c', 'd']],
  ['a: |/bin/prog', ['pipe /bin/prog']],
  ['a: "|/bin/prog -x, \\"y\\"", b', ['pipe /bin/prog -x, "y"', 'b']],
  ['a: |"/bin/prog -x, y"', ['pipe /bin/prog -x, y']],
  ['a: |', ['faulty |']],
  ['a: /var/mail/a', ['file /var/mail/a']],
  ['a: "/var/my mail/a"', ['file /var/my mail/a']],
  ['a: :include:/etc/list', ['include /etc/list']],
  ['a: ":include: /etc/my list"', ['include /etc/my list']],
  ['a: :include:list', ['faulty :include:list']],
  ['a: :fail: gone away', ['unsupported :fail: gone away']],
  ['a: b@@c', ['faulty b@@c']],
  ['a: bücher@bücher.example', ['bücher@xn--bcher-kva.example']],
  ['a:', ['faulty ']],
]
for (const [line, targets, name = 'a'] of aliasLines) {
  test(`the alias ${JSON.stringify(line)}`, () => {
    const alias = parseAliasFile(`# head\n${line}\nz: y`).value.get(name)
    assert.deepEqual(alias?.targets.map(shown), targets)
    assert.equal(alias?.line, 2)
  })
}

test('faults of an alias file have their lines', () => {
  const text = [
    '  lost',
    'no colon here',
    'a: b',
    'A: c',
    'x@y: z',
    'p: |cmd',
    'q: b@@c',
    'r: :fail: x',
  ].join('\n')
  const { value, faults } = parseAliasFile(text)
  assert.deepEqual(
    faults.map(({ line, why }) => `${line} ${why}`),
    [
      '1 there is nothing that this line could continue',
      '2 expected name: address, address',
      '4 a is there already, in line 3',
      '5 x@y: the name of an alias has no domain; the zone that lists the file has',
      '7 q: `b@@c` is no address',
      '8 r: nothing is known of `:fail: x`',
    ],
  )
  assert.deepEqual([...value.keys()], ['a', 'p', 'q', 'r'])
})

test('no text makes a reader throw', () => {
  const unit = fc.constantFrom(
    'a',
    ':',
    ',',
    '"',
    '\\',
    '(',
    ')',
    '<',
    '>',
    '\n',
    ' ',
    '\t',
    '#',
    '|',
    '/',
    '@',
    '\0',
    '0',
    '\r',
  )
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 60 }), (text) => {
      parseAliasFile(text)
      parseMailboxFile(text, '/etc', null)
      parsePasswd(text)
      parseHosts(text)
      parseResolvConf(text)
      parseServer(text)
    }),
    { numRuns: 2000 },
  )
})

test('hosts: several names and addresses, localhost always', () => {
  const { value } = parseHosts('127.0.0.1 one two # x\n::1 ONE\n#2.2.2.2 three\nfe80::1%eth0 four\nbad five')
  assert.deepEqual(value.get('one'), ['127.0.0.1', '::1'])
  assert.deepEqual(value.get('two'), ['127.0.0.1'])
  assert.equal(value.get('three') ?? value.get('four') ?? value.get('five'), undefined)
  assert.deepEqual(value.get('localhost'), ['127.0.0.1', '::1'])
})

test('resolv.conf: servers, options, faults', () => {
  const { value, faults } = parseResolvConf(
    'search x\nnameserver 192.0.2.1 # one\nnameserver ::1\nnameserver x\noptions edns0 timeout:2 attempts:99\n',
  )
  assert.deepEqual(value, {
    servers: [
      { address: '192.0.2.1', port: 53, trusted: false },
      { address: '::1', port: 53, trusted: true },
    ],
    timeout: 2000,
    attempts: 5,
  })
  assert.deepEqual(faults, [{ line: 4, why: '`x` is no address' }])
  assert.deepEqual(parseResolvConf('').value.servers, [{ address: '127.0.0.1', port: 53, trusted: true }])
})

test('servers of the config', () => {
  assert.deepEqual(parseServer('127.0.0.1:5353'), { address: '127.0.0.1', port: 5353, trusted: true })
  assert.deepEqual(parseServer('[::1]:53'), { address: '::1', port: 53, trusted: true })
  assert.deepEqual(parseServer('::1'), { address: '::1', port: 53, trusted: true })
  assert.deepEqual(parseServer('192.0.2.1'), { address: '192.0.2.1', port: 53, trusted: false })
  const trusted = { address: '2001:db8::1', port: 54, trusted: true }
  assert.deepEqual(parseServer('[2001:db8::1]:54 validating'), trusted)
  for (const bad of ['', 'localhost', '127.0.0.1:0', '127.0.0.1:70000', '[::1', '::1]:53', ' validating'])
    assert.equal(parseServer(bad), null, bad)
})
