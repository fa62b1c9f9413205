/** From text to slices: paths, names of endpoints, defaults that depend on something, and who runs as whom. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  loadConfig,
  loadConfigText,
  loadLeniently,
  type Overrides,
  printProblems,
} from '../../shared/config/check.ts'
import { emptyBook } from '../../shared/config/rule-book.ts'
import type { Slices } from '../../shared/config/slices.ts'

const timeout = 60_000
const accounts: Record<string, number> = {
  phq: 801,
  phs: 802,
  phm: 805,
  phc: 803,
  phr: 804,
  alice: 1001,
  root: 0,
}
const machine: Overrides = {
  asCaller: false,
  uid: 0,
  gid: 0,
  hostname: 'test.example.org',
  interfaces: ['127.0.0.1/8'],
  accounts: {
    user: (name) => (name in accounts ? { name, uid: accounts[name] ?? 0, gid: 800 } : null),
    group: (name) => (name === 'posthorn' ? 800 : null),
    nameOf: (uid) => Object.keys(accounts).find((name) => accounts[name] === uid) ?? null,
  },
}
const frame = 'listener "mx" { port 25; }; zone "example.org" { type local; };'

function load(text: string, overrides: Overrides = {}): Slices {
  const checked = loadConfigText(text, '/etc/posthorn/posthorn.conf', { ...machine, ...overrides })
  if (checked.kind === 'bad') throw new Error(printProblems(checked.problems))
  return checked.slices
}

function complaints(text: string, overrides: Overrides = {}): string[] {
  const checked = loadConfigText(text, '/etc/posthorn/posthorn.conf', { ...machine, ...overrides })
  return (checked.kind === 'bad' ? checked.problems : checked.warnings).map(({ message }) => message)
}

test('as root, the bus knows each worker by its uid', { timeout }, () => {
  const { qmgr, resolver } = load(frame)
  const uids = { qmgr: [801], smtpd: [802, 805], smtpc: [803], resolver: [804] }
  assert.deepEqual([qmgr.busUids, resolver.busUids, resolver.unprivileged], [uids, uids, null])
})

test('as the caller, there are no users to be', { timeout }, () => {
  const facts = { uid: 1000, gid: 100, accounts: { user: () => null, group: () => null, nameOf: () => null } }
  for (const asCaller of [true, false]) {
    const { qmgr, resolver } = load(frame, { ...facts, asCaller })
    assert.deepEqual([qmgr.busUids, resolver.busUids], [null, null])
    assert.deepEqual(resolver.unprivileged, { uid: 1000, gid: 100 })
  }
  assert.deepEqual(load(frame, { ...facts, uid: 0, asCaller: true }).resolver.unprivileged, {
    uid: 0,
    gid: 100,
  })
})

test('users that are missing or root keep root from starting', { timeout }, () => {
  assert.deepEqual(complaints(`processes { smtpd-user "nobody-here"; group "none"; }; ${frame}`), [
    'not on this machine: user `nobody-here`, group `none`',
  ])
  assert.deepEqual(complaints(`processes { smtpc-user "root"; }; ${frame}`), ['smtpc must not run as root'])
})

test('users of controls become uids, with the names that there are', { timeout }, () => {
  const { qmgr } = load(`controls { users { alice; 77; }; }; ${frame}`)
  assert.deepEqual(qmgr.controlUids, [1001, 77])
  assert.deepEqual(qmgr.controlNames, { 0: 'root', 801: 'phq', 1001: 'alice' })
})

test('relative paths start at the file, sockets at run-directory', { timeout }, () => {
  const { mcp, qmgr } = load(
    'options { directory "../spool"; }; listener "local" { socket "in.sock"; }; controls { unix "/c.sock"; };' +
      'logging { channel "x" { file "logs/x.log"; }; };',
  )
  assert.equal(mcp.directory, '/etc/spool')
  assert.ok(qmgr.spool.startsWith('/etc/spool'))
  assert.deepEqual([mcp.runDirectory, mcp.pidFile], ['/etc/spool/run', '/etc/spool/run/posthorn.pid'])
  assert.deepEqual([mcp.controlSocket, mcp.queueSocket], ['/c.sock', '/etc/spool/run/queue.sock'])
  assert.deepEqual(mcp.listeners[0]?.endpoint, {
    kind: 'unix',
    path: '/etc/spool/run/in.sock',
    mode: 0o666,
  })
  assert.deepEqual(mcp.channels[0]?.target, {
    kind: 'file',
    path: '/etc/posthorn/logs/x.log',
    size: null,
    versions: 3,
  })
})

test('the default spool runs in /run, and a directory from outside moves everything', { timeout }, () => {
  assert.deepEqual(load(frame).mcp.runDirectory, '/run/posthorn')
  const { mcp } = load(`options { directory "/a"; run-directory "/b"; }; ${frame}`, { directory: '/c' })
  assert.deepEqual([mcp.directory, mcp.runDirectory], ['/c', '/c/run'])
})

test('one listener, several endpoints', { timeout }, () => {
  const { mcp, smtpd } = load('listener "mx" { port 25; address 127.0.0.1 ::1; address 192.0.2.7; };')
  assert.deepEqual(
    smtpd.listeners.map(({ name, endpoint }) => [name, endpoint.kind === 'tcp' && endpoint.address]),
    [
      ['mx', '127.0.0.1'],
      ['mx#2', '::1'],
      ['mx#3', '192.0.2.7'],
    ],
  )
  assert.deepEqual(mcp.listeners, smtpd.listeners)
})

test('no address is every address, by IPv6 where the machine has it', { timeout }, () => {
  const address = (interfaces: string[]) => {
    const { endpoint } = load(frame, { interfaces }).smtpd.listeners[0] ?? assert.fail()
    return endpoint.kind === 'tcp' ? endpoint.address : ''
  }
  assert.equal(address(['127.0.0.1/8']), '0.0.0.0')
  assert.equal(address(['127.0.0.1/8', '::1/128']), '::')
})

test('what a listener is follows from socket, name and port; tls from the port', { timeout }, () => {
  const { mcp } = load(
    'tls "t" { certificate "/dev/null"; key "/dev/null"; };' +
      'listener "mx" { port 2525; }; listener "a" { port 587; tls "t"; }; listener "b" { port 465; tls "t"; };' +
      'listener "c" { socket "s"; }; listener "d" { type submission; port 26; tls "t" required; };',
  )
  assert.deepEqual(
    mcp.listeners.map(({ kind, tls, bareNewline }) => [kind, tls.mode, bareNewline]),
    [
      ['mx', 'none', 'refuse'],
      ['submission', 'starttls', 'refuse'],
      ['submission', 'implicit', 'refuse'],
      ['local', 'none', 'normalise'],
      ['submission', 'required', 'refuse'],
    ],
  )
  assert.deepEqual(mcp.listeners[1]?.tls.context, {
    ...{ name: 't', certificate: '/dev/null', key: '/dev/null' },
    ...{ minimumVersion: '1.2', clientCa: null, clientCertificate: 'optional' },
  })
})

test('nobody relays unless told so, but for the socket', { timeout }, () => {
  const { mcp } = load(
    'listener "mx" { port 25; }; listener "submission" { port 587; }; listener "local" { socket "s"; };',
  )
  assert.deepEqual(
    mcp.listeners.map(({ relay }) => relay),
    [true, true, false].map((negated) => [{ negated, network: 'any' }]),
  )
})

test('qmgr takes what the most generous listener takes', { timeout }, () => {
  const { qmgr } = load(
    'listener "mx" { port 25; message-size-limit 80M; }; listener "local" { socket "s"; };',
  )
  assert.equal(qmgr.messageSizeLimit, 80 * 2 ** 20)
})

test('bounces live no longer than the rest unless told so', { timeout }, () => {
  assert.equal(load(`qmgr { lifetime 2h; }; ${frame}`).qmgr.bounceLifetime, 7_200_000)
  assert.equal(load(`qmgr { lifetime 2h; bounce-lifetime 1h; }; ${frame}`).qmgr.bounceLifetime, 3_600_000)
  assert.equal(load(frame).qmgr.bounceLifetime, 86_400_000)
})

test('zones as the resolver wants them', { timeout }, () => {
  const { resolver } = load(
    'options { minimum-uid 500; }; zone "B\u00fccher.Example." { type local; };' +
      'zone "x" { type relay; hosts { [::1] port 2424 lmtp; "Mail.Internal" lmtp; }; };',
  )
  assert.deepEqual(resolver.zones, [
    {
      name: 'xn--bcher-kva.example',
      cutThrough: 300_000,
      requireSignature: false,
      forged: 'tag',
      type: 'local',
      users: { kind: 'system', minimumUid: 500 },
      aliases: [],
      recipients: null,
      forward: true,
      maildir: '~/Maildir',
      encryption: null,
      hosts: [],
      relay: null,
      routing: [],
      reply: null,
    },
    {
      name: 'x',
      cutThrough: 300_000,
      requireSignature: false,
      forged: 'tag',
      type: 'relay',
      users: null,
      aliases: [],
      recipients: null,
      maildir: null,
      encryption: null,
      hosts: [
        { host: '::1', port: 2424, protocol: 'lmtp', weight: null },
        { host: 'mail.internal', port: 24, protocol: 'lmtp', weight: null },
      ],
      relay: null,
      routing: [],
      reply: null,
    },
  ])
})

test('mail leaves the machine by remote zones and by the one for everything else, for the agents of users', () => {
  const { qmgr } = load(
    'listener "local" { socket "a.sock"; user-agents yes; }; listener "plain" { socket "b.sock"; };' +
      'zone "." { type relay; hosts { smarthost.example; }; }; zone "far.example" { type remote; };' +
      'zone "near.example" { type relay; hosts { inside.example; }; }; zone "here.example" { type local; };' +
      'options { minimum-uid 500; };',
  )
  assert.deepEqual(qmgr.userAgents, {
    listeners: ['local'],
    zones: ['.', 'far.example'],
    minimumUid: 500,
    onlyUid: null,
  })
})

test('the name of the machine, when it is a full one', { timeout }, () => {
  assert.equal(load(frame).mcp.hostname, 'test.example.org')
  assert.deepEqual(complaints(frame, { hostname: 'vm' }), [
    'this machine calls itself `vm`, which is no full name',
  ])
  assert.equal(load(frame, { hostname: 'vm' }).smtpd.qualifyDomain, 'vm')
})

test('the workers write what the most curious channel wants', { timeout }, () => {
  const channels = 'channel "a" { stderr; severity warn; }; channel "b" { file "/b"; severity debug; };'
  assert.equal(load(`logging { ${channels} }; ${frame}`).mcp.severity, 'debug')
  assert.equal(load(`logging { ${channels} category default { "a"; }; }; ${frame}`).mcp.severity, 'warn')
})

test('a file with mistakes still tells where the server is', { timeout }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-config-'))
  try {
    const file = join(directory, 'a.conf')
    writeFileSync(file, 'options { directory "s"; colour blue; }; listener "mx" { port 70000; }; zone "x" {')
    assert.equal(loadLeniently(file, machine)?.mcp.controlSocket, join(directory, 's/run/control.sock'))
    assert.equal(loadLeniently(join(directory, 'none.conf'), machine), null)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('includes: patterns, order, places, and paths relative to the file that names them', { timeout }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-config-'))
  try {
    mkdirSync(join(directory, 'zones.d'))
    writeFileSync(
      join(directory, 'a.conf'),
      'include "zones.d/*.conf"; listener "mx" { include "port.inc"; };',
    )
    writeFileSync(join(directory, 'port.inc'), 'port 2525;')
    for (const name of ['b', 'a', '.hidden']) {
      writeFileSync(
        join(directory, `zones.d/${name}.conf`),
        `zone "${name}.example" { type local; mailboxes "${name}.users"; };`,
      )
    }
    const checked = loadConfig(join(directory, 'a.conf'), { ...machine, readable: () => 'yes' })
    assert.equal(checked.kind, 'ok')
    assert.deepEqual(
      checked.kind === 'ok' && checked.slices.resolver.zones.map(({ name, users }) => [name, users]),
      ['a', 'b'].map((name) => [
        `${name}.example`,
        { kind: 'file', path: join(directory, `zones.d/${name}.users`) },
      ]),
    )
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('the rule book says what was written where, for local listeners and policies', () => {
  const { smtpd, submission, resolver } = load(
    'listener "local" { socket "s.sock"; recipient-limit 200; }; policy "p" { users { 7; }; limit messages 9/h; };' +
      'zone "x" { type relay; hosts { [::1]; }; lifetime 2d; proxy "socks5://ann:secret@[::1]:1080"; };',
  )
  const local = submission.rules.listeners['local'] ?? []
  const place = (text: string) => local.find((rule) => rule.text === text)?.place
  assert.match(place('listener "local"') ?? '', /:1:10$/)
  assert.match(place('recipient-limit 200') ?? '', /:1:\d+$/)
  assert.equal(place('session-limit 500'), '')
  const policy = submission.rules.policies['p']?.map(({ text }) => text)
  assert.deepEqual(policy, ['policy "p"', 'users { 7; }', 'limit messages 9/1h'])
  assert.deepEqual(submission.rules.uids, [{ text: 'uid connections 100', place: '' }])
  assert.match(resolver.zonePlaces['x'] ?? '', /:1:\d+$/)
  assert.deepEqual(
    submission.rules.zones['x']?.map(({ text }) => text),
    ['zone "x"', 'type relay', 'lifetime 2d'],
    'what decides, and nothing that is secret',
  )
  assert.deepEqual(smtpd.rules, emptyBook)
})
