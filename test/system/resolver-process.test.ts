/**
 * The built resolver process over its bus: local names, relay hosts, mail exchangers, a name server that says
 * everything there is to say, files that change, and peers that it must not let in.
 */
import assert from 'node:assert/strict'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { silentLog } from '../../shared/base/log.ts'
import { type Link, openLink } from '../../shared/bus/link.ts'
import type { Answer, Payload, Role } from '../../shared/bus/messages.ts'
import type { ResolverSlice, ZoneSlice } from '../../shared/config/slices.ts'
import { type NameServer, nodata, record, type Script, startNameServer } from '../support/name-server.ts'
import { until, within } from '../support/wait.ts'
import { BUILD, makeRig, type Rig, startWorker, type TestWorker } from '../support/worker.ts'
import { plainZone } from '../support/zone.ts'

const TIMEOUT = { timeout: 90_000 }
const FAR_PORT = 2526
/** No account has it. */
const FAR_UID = 2_000_001_003

/** Where the resolver is told that we listen. */
const OWN_ADDRESS = '192.0.2.99'

type Resolution = Answer<'resolve'>

const scripts: Record<string, Script> = {
  'MX mx.test': {
    answers: [
      record.mx('mx.test', 20, 'b.mx.test'),
      record.mx('mx.test', 10, 'a.mx.test'),
      record.mx('mx.test', 30, 'gone.mx.test'),
    ],
  },
  'A a.mx.test': { answers: [record.a('a.mx.test', '192.0.2.1'), record.a('a.mx.test', '192.0.2.2')] },
  'AAAA a.mx.test': { answers: [record.aaaa('a.mx.test', '2001:db8::1')] },
  'A b.mx.test': { answers: [record.a('b.mx.test', '192.0.2.3')] },
  'AAAA b.mx.test': nodata('mx.test'),
  'MX implicit.test': nodata('implicit.test'),
  'A implicit.test': { answers: [record.a('implicit.test', '192.0.2.4')] },
  'AAAA implicit.test': nodata('implicit.test'),
  'MX alias.test': {
    answers: [record.cname('alias.test', 'mx.test'), record.mx('mx.test', 10, 'b.mx.test')],
  },
  'MX null.test': { answers: [record.mx('null.test', 0, '')] },
  'MX empty.test': nodata('empty.test'),
  'A empty.test': nodata('empty.test'),
  'AAAA empty.test': nodata('empty.test'),
  'MX dead.test': { answers: [record.mx('dead.test', 10, 'gone.mx.test')] },
  'MX half.test': {
    answers: [record.mx('half.test', 10, 'broken.mx.test'), record.mx('half.test', 20, 'b.mx.test')],
  },
  'MX broken.test': { rcode: 2 },
  'MX lame.test': { answers: [record.mx('lame.test', 10, 'broken.mx.test')] },
  'A broken.mx.test': { rcode: 2 },
  'AAAA broken.mx.test': { rcode: 2 },
  'MX loop.test': {
    answers: [record.mx('loop.test', 10, 'posthorn.test'), record.mx('loop.test', 20, 'b.mx.test')],
  },
  'MX posthorn.test': nodata('posthorn.test'),
  'MX mirror.test': { answers: [record.mx('mirror.test', 10, 'mirror.mx.test')] },
  'A mirror.mx.test': { answers: [record.a('mirror.mx.test', OWN_ADDRESS)] },
  'A hop.relay.test': { answers: [record.a('hop.relay.test', '192.0.2.7')] },
  'AAAA hop.relay.test': nodata('relay.test'),
  'MX xn--bcher-kva.test': { answers: [record.mx('xn--bcher-kva.test', 1, 'b.mx.test')] },
}

let rig: Rig
let names: NameServer
let worker: TestWorker
let qmgr: Link
let smtpd: Link

function zone(name: string, type: ZoneSlice['type'], more: Partial<ZoneSlice> = {}): ZoneSlice {
  return { ...plainZone(name, type), ...more }
}

function makeSlice(more: Partial<ResolverSlice> = {}): ResolverSlice {
  const users = { kind: 'file', path: join(rig.directory, 'users') } as const
  const aliases = [{ kind: 'file', path: join(rig.directory, 'aliases') } as const]
  return {
    hostname: 'posthorn.test',
    reports: null,
    zones: [
      zone('local.test', 'local', { users, aliases, maildir: '~/Mail' }),
      zone('missing.test', 'local', { users: { kind: 'file', path: join(rig.directory, 'no-such-file') } }),
      zone('relay.example', 'relay', {
        hosts: [
          { host: '192.0.2.5', port: 24, protocol: 'lmtp', weight: null },
          { host: 'hop.relay.test', port: 25, protocol: 'lmtp', weight: null },
          { host: 'localhost', port: 26, protocol: 'lmtp', weight: null },
        ],
      }),
      zone('lost.example', 'relay', {
        hosts: [{ host: 'gone.relay.test', port: 25, protocol: 'smtp', weight: null }],
      }),
      zone('.', 'remote'),
    ],
    screenings: [],
    zonePlaces: {},
    relays: [],
    maps: [],
    greylist: null,
    srs: null,
    sts: null,
    nameservers: [names.address],
    dnsTimeout: 2000,
    dnsAttempts: 1,
    cacheEntries: 1000,
    cacheOctets: 1 << 24,
    dnssec: 'servers',
    validatorPort: 5335,
    ownAddresses: [OWN_ADDRESS],
    smtpPort: FAR_PORT,
    recipientDelimiter: '+',
    busUids: null,
    unprivileged: null,
    ...more,
  }
}

function dial(role: Role, more: { build?: string; log?: typeof silentLog } = {}): Link {
  const identity = { role, name: `${role}-test`, pid: process.pid, build: more.build ?? BUILD, epoch: 1 }
  const log = more.log ?? silentLog
  return openLink({
    target: rig.buses.resolver,
    remote: 'resolver',
    identity: () => identity,
    handlers: {},
    log,
  })
}

function ask(link: Link, address: string, more: Partial<Payload<'resolve'>> = {}): Promise<Resolution> {
  return link.request('resolve', { address, ...more })
}

function write(name: string, text: string): void {
  // beside it and over it: nobody reads half a file
  writeFileSync(join(rig.directory, `${name}.new`), text)
  renameSync(join(rig.directory, `${name}.new`), join(rig.directory, name))
}

function shown(answer: Resolution): string {
  if (answer.kind !== 'found') return `${answer.kind} ${answer.reply.code} ${answer.reply.enhanced}`
  const targets = answer.targets.map(({ address, route }) => `${address} ${route?.destination ?? '-'}`)
  return `${answer.class} ${targets.join('; ')}`
}

before(async () => {
  rig = makeRig()
  names = await startNameServer(scripts)
  write('users', `ann:1001:1002:/srv/ann\nbob:${FAR_UID}:1003:/srv/bob:/var/mail/bob\nbad:line`)
  write(
    'aliases',
    'info: ann, bob\nout: bob@implicit.test\nmixed: ann, ghost, x@gone.test\nlost: ghost\nprog: |x\nslow: a@broken.test',
  )
  worker = await startWorker('resolver', makeSlice(), rig)
  qmgr = dial('qmgr')
  smtpd = dial('smtpd')
  await Promise.all([qmgr.ready(), smtpd.ready()])
})

after(async () => {
  qmgr.close()
  smtpd.close()
  await worker.drain()
  names.close()
  rig.close()
})

describe('answers', TIMEOUT, () => {
  const relay = '192.0.2.5:24,hop.relay.test:25,localhost:26'
  const cases: [address: string, forSmtpd: string, forQmgr?: string][] = [
    ['ann@local.test', 'local ann@local.test local:1001'],
    ['Ann+detail@local.test', 'local Ann+detail@local.test local:1001'],
    ['info@local.test', `local ann@local.test local:1001; bob@local.test local:${FAR_UID}`],
    ['out@local.test', 'local bob@implicit.test implicit.test'],
    ['mixed@local.test', 'local ann@local.test local:1001; ghost@local.test -; x@gone.test -'],
    ['lost@local.test', 'refused 550 5.1.1'],
    ['ghost@local.test', 'refused 550 5.1.1'],
    ['prog@local.test', 'refused 550 5.3.3'],
    ['bad@local.test', 'later 451 4.3.5'],
    ['any@missing.test', 'later 451 4.3.5'],
    ['postmaster', 'refused 550 5.1.1'],
    ['x@relay.example', `relay x@relay.example ${relay}`],
    ['x@lost.example', 'relay x@lost.example -', 'later 451 4.4.4'],
    ['x@mx.test', 'remote x@mx.test a.mx.test,b.mx.test,gone.mx.test'],
    ['x@bücher.test', 'remote x@xn--bcher-kva.test b.mx.test'],
    ['x@implicit.test', 'remote x@implicit.test implicit.test'],
    ['x@alias.test', 'remote x@alias.test b.mx.test'],
    ['x@[127.0.0.1]', 'remote x@[127.0.0.1] [127.0.0.1]'],
    ['x@[IPv6:::1]', 'remote x@[IPv6:::1] [IPv6:::1]'],
    ['x@half.test', 'remote x@half.test b.mx.test,broken.mx.test'],
    ['x@null.test', 'refused 556 5.1.10'],
    ['x@nowhere.test', 'refused 550 5.1.2'],
    ['x@empty.test', 'refused 550 5.1.2'],
    ['x@dead.test', 'refused 550 5.4.4'],
    ['x@loop.test', 'refused 550 5.4.6'],
    ['x@posthorn.test', 'refused 550 5.4.6'],
    ['x@mirror.test', 'refused 550 5.4.6'],
    ['x@broken.test', 'remote x@broken.test -', 'later 451 4.4.3'],
    ['x@lame.test', 'remote x@lame.test -', 'later 451 4.4.3'],
    ['slow@local.test', 'local a@broken.test -', 'later 451 4.4.3'],
    ['not an address', 'refused 553 5.1.3'],
    ['', 'refused 553 5.1.3'],
  ]
  for (const [address, forSmtpd, forQmgr = forSmtpd] of cases) {
    test(`${address || 'nothing'}: ${forSmtpd}`, TIMEOUT, async () => {
      assert.equal(shown(await ask(smtpd, address)), forSmtpd)
      assert.equal(shown(await ask(qmgr, address)), forQmgr, 'asked by qmgr')
      assert.equal(shown(await ask(smtpd, address)), forSmtpd, 'asked again')
    })
  }
})

test('a local route names mailbox, owner and Maildir', TIMEOUT, async () => {
  const answer = await ask(smtpd, 'bob@local.test')
  assert.deepEqual(answer.kind === 'found' && answer.targets[0]?.route, {
    kind: 'local',
    zone: 'local.test',
    destination: `local:${FAR_UID}`,
    mailbox: {
      user: `#${FAR_UID}`,
      uid: FAR_UID,
      gid: 1003,
      home: '/srv/bob',
      format: 'maildir',
      path: '/var/mail/bob',
    },
  })
})

test('a relay route has its hosts in the order of the config', TIMEOUT, async () => {
  const answer = await ask(smtpd, 'x@relay.example')
  const route = answer.kind === 'found' ? answer.targets[0]?.route : undefined
  assert.ok(route?.kind === 'smtp')
  assert.equal(route.protocol, 'lmtp')
  assert.deepEqual(
    route.hosts.map(({ name, port, preference }) => [name, port, preference]),
    [
      ['192.0.2.5', 24, 0],
      ['hop.relay.test', 25, 1],
      ['localhost', 26, 2],
    ],
  )
  assert.deepEqual(route.hosts[1]?.addresses, ['192.0.2.7'])
  assert.ok(route.hosts[2]?.addresses.includes('127.0.0.1'))
})

test('a remote route has its exchangers by preference, with addresses and port', TIMEOUT, async () => {
  const answer = await ask(smtpd, 'x@mx.test')
  const route = answer.kind === 'found' ? answer.targets[0]?.route : undefined
  assert.deepEqual(route, {
    kind: 'smtp',
    zone: '.',
    provider: 'mx.test',
    destination: 'a.mx.test,b.mx.test,gone.mx.test',
    protocol: 'smtp',
    hosts: [
      {
        name: 'a.mx.test',
        addresses: ['192.0.2.1', '192.0.2.2', '2001:db8::1'],
        port: FAR_PORT,
        preference: 10,
      },
      { name: 'b.mx.test', addresses: ['192.0.2.3'], port: FAR_PORT, preference: 20 },
    ],
  })
})

test('what DNSSEC proves goes with the route, TLSA records and all', TIMEOUT, async () => {
  const proven = { authenticated: true }
  const data = Buffer.from('00ff', 'hex')
  const all: [string, Script][] = [
    ['MX dane.test', { answers: [record.mx('dane.test', 10, 'mx.dane.test')], ...proven }],
    ['A mx.dane.test', { answers: [record.a('mx.dane.test', '192.0.2.8')], ...proven }],
    ['AAAA mx.dane.test', { ...nodata('dane.test'), ...proven }],
    [
      `TLSA _${FAR_PORT}._tcp.mx.dane.test`,
      { answers: [record.tlsa(`_${FAR_PORT}._tcp.mx.dane.test`, [3, 1, 1], data)], ...proven },
    ],
  ]
  for (const [key, script] of all) names.scripts.set(key, script)
  const answer = await ask(smtpd, 'x@dane.test')
  const route = answer.kind === 'found' ? answer.targets[0]?.route : undefined
  assert.ok(route?.kind === 'smtp')
  const [host] = route.hosts
  assert.deepEqual(
    [route.secure, host?.secure, host?.tlsa],
    [
      true,
      true,
      {
        kind: 'found',
        base: 'mx.dane.test',
        records: [{ usage: 3, selector: 1, matching: 1, data: '00ff' }],
      },
    ],
  )
})

test('no DNS query is spent on clients that may not relay', TIMEOUT, async () => {
  const asked = names.asked.length
  const answer = await ask(smtpd, 'x@stranger.test', { mayRelay: false })
  assert.equal(shown(answer), 'remote x@stranger.test -')
  assert.equal(names.asked.length, asked)
  const local = await ask(smtpd, 'ann@local.test', { mayRelay: false })
  assert.equal(shown(local), 'local ann@local.test local:1001')
})

test('what an alias has made is not expanded again', TIMEOUT, async () => {
  assert.equal(shown(await ask(qmgr, 'info@local.test', { expanded: true })), 'refused 550 5.1.1')
  assert.equal(
    shown(await ask(qmgr, 'ann@local.test', { expanded: true })),
    'local ann@local.test local:1001',
  )
})

test('a route is remembered: the second recipient costs no query', TIMEOUT, async () => {
  await ask(smtpd, 'one@mx.test')
  const asked = names.asked.length
  assert.match(shown(await ask(smtpd, 'two@mx.test')), /^remote two@mx.test a.mx.test/)
  assert.equal(names.asked.length, asked)
})

test(
  'changed files count without a restart, and a file that goes leaves its last content',
  TIMEOUT,
  async () => {
    assert.equal(shown(await ask(smtpd, 'late@local.test')), 'refused 550 5.1.1')
    write('aliases', 'late: ann')
    await until('the new alias', async () => (await ask(smtpd, 'late@local.test')).kind === 'found')
    assert.equal(shown(await ask(smtpd, 'info@local.test')), 'refused 550 5.1.1')
    write('users', 'ann:1009:1009:/srv/ann')
    await until('the new uid', async () => shown(await ask(smtpd, 'ann@local.test')).endsWith('local:1009'))
    rmSync(join(rig.directory, 'users'))
    const lost = /^.*(?<!no-such-)users.*map file cannot be read/m
    await until('the loss to be noticed', async () => {
      assert.equal(shown(await ask(smtpd, 'ann@local.test')), 'local ann@local.test local:1009')
      return lost.test(worker.output())
    })
    assert.equal(shown(await ask(smtpd, 'ann@local.test')), 'local ann@local.test local:1009')
  },
)

test('faults are logged with file and line', TIMEOUT, async () => {
  await until('the fault', () => worker.output().includes(`${join(rig.directory, 'users')}:3`))
})

test('without root only the mailbox of the caller takes mail, the others wait', TIMEOUT, async () => {
  write('users', 'own:::/srv/own\nann:1001:1002:/srv/ann\nkin:1234:1234:/srv/kin')
  const unprivileged = { uid: 1234, gid: 5678 }
  worker.send('reconfigure', { epoch: 2, severity: 'debug', slice: makeSlice({ unprivileged }) })
  await until('the new config', async () => (await ask(smtpd, 'own@local.test')).kind === 'found')
  assert.equal(shown(await ask(smtpd, 'own@local.test')), 'local own@local.test local:1234')
  assert.equal(shown(await ask(smtpd, 'kin@local.test')), 'local kin@local.test local:1234')
  assert.equal(shown(await ask(smtpd, 'ann@local.test')), 'later 450 4.2.1')
})

test('a new config replaces the old one whole', TIMEOUT, async () => {
  const zones = [
    zone('local.test', 'relay', { hosts: [{ host: '192.0.2.9', port: 25, protocol: 'smtp', weight: null }] }),
  ]
  const before = await ask(smtpd, 'x@relay.example')
  assert.equal(before.kind, 'found')
  worker.send('reconfigure', { epoch: 2, severity: 'debug', slice: makeSlice({ zones }) })
  await until('the new config', async () => shown(await ask(smtpd, 'ann@local.test')).startsWith('relay'))
  assert.equal(shown(await ask(smtpd, 'x@relay.example')), 'refused 550 5.7.1')
  assert.equal(shown(await ask(qmgr, 'x@relay.example')), 'later 451 4.3.5', 'not the fault of queued mail')
})

test('thousands of questions in one go are answered in order', TIMEOUT, async () => {
  const answers = await Promise.all(Array.from({ length: 5000 }, (_, n) => ask(smtpd, `u${n}@local.test`)))
  answers.forEach((answer, n) => {
    assert.equal(answer.kind === 'found' && answer.targets[0]?.address, `u${n}@local.test`)
  })
})

for (const [what, role, build] of [
  ['another build', 'smtpd', 'other'],
  ['a role that has no business here', 'smtpc', BUILD],
] as const) {
  test(`${what} is refused`, TIMEOUT, async () => {
    let link: Link | null = null
    const refusal = new Promise<unknown>((done) => {
      const log = { ...silentLog, warn: (facts: unknown) => done(facts) }
      link = dial(role, { build, log })
    })
    const facts = (await within('the refusal', 30_000, refusal)) as { reason: string }
    assert.match(facts.reason, /build other|smtpc/)
    ;(link as Link | null)?.close()
  })
}

test('a drain answers what has been asked', TIMEOUT, async (t) => {
  const own = makeRig()
  t.after(() => own.close())
  let release: () => void = () => undefined
  const after = new Promise<void>((done) => {
    release = done
  })
  names.scripts.set('MX slow.test', { answers: [record.mx('slow.test', 1, 'b.mx.test')], after })
  const drained = await startWorker('resolver', makeSlice({ zones: [zone('.', 'remote')] }), own)
  t.after(() => drained.child.kill('SIGKILL'))
  const identity = { role: 'smtpd', name: 'smtpd-test', pid: process.pid, build: BUILD, epoch: 1 } as const
  const { resolver: target } = own.buses
  const link = openLink({
    target,
    remote: 'resolver',
    identity: () => identity,
    handlers: {},
    log: silentLog,
  })
  t.after(() => link.close())
  await link.ready()
  const answer = ask(link, 'x@slow.test')
  await until('the question', () => names.asked.includes('MX slow.test'))
  const exit = drained.drain()
  release()
  assert.equal(shown(await answer), 'remote x@slow.test b.mx.test')
  assert.equal(await exit, 0)
})
