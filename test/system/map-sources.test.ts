/**
 * Each type of map against the real thing: databases that other programs have made, and servers that answer, refuse,
 * are slow, die and come back.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Stub } from '../../services/resolver/dns/stub.ts'
import { Maps } from '../../services/resolver/maps/maps.ts'
import { openLogInto } from '../../shared/base/log.ts'
import type { MapSlice } from '../../shared/config/slices.ts'
import { debianPrograms } from '../support/debian.ts'
import { openMapServer } from '../support/map-server.ts'
import { record, startNameServer } from '../support/name-server.ts'
import { openPostgresql } from '../support/postgresql.ts'
import { openSlapd } from '../support/slapd.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-maps-'))
after(() => rmSync(directory, { recursive: true, force: true }))

const log = openLogInto(() => undefined, 'test', 'error')
const noDns = { lookup: () => ({ kind: 'failed', why: 'no DNS here', ttl: 0, trouble: 'said' }) as const }

function open(source: MapSlice['source'], more: Partial<MapSlice> = {}, dns: Pick<Stub, 'lookup'> = noDns) {
  const slice = { name: 'm', place: '', source, timeout: 5000, connections: 2, cache: 0, ...more }
  const maps = new Maps({ maps: [slice], dns, delimiter: '+', log, now: () => performance.now() })
  return { maps, ask: async (key: string) => maps.ask('m', 'address', key) }
}

const nobody = { user: null, passwordFile: null }

test('cdb, as tinycdb makes it', { timeout }, async (t) => {
  const programs = debianPrograms('tinycdb')
  const cdb = programs?.find('cdb')
  if (!programs || !cdb) return t.skip('tinycdb cannot be had')
  const file = join(directory, 'm.cdb')
  const make = (entries: Record<string, string>) => {
    const input = Object.entries(entries).map(([key, value]) => `${key} ${value}\n`)
    const made = spawnSync(cdb, ['-c', '-m', `${file}.new`], {
      input: input.join(''),
      encoding: 'utf8',
      env: programs.env,
    })
    assert.equal(made.status, 0, made.stderr)
    renameSync(`${file}.new`, file)
  }
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`u${n}@a.example`, `home ${n}`]))
  make({ ...many, '@b.example': 'all' })
  const { maps, ask } = open({ kind: 'cdb', file })
  for (const n of [0, 1, 500, 999])
    assert.deepEqual(await ask(`u${n}+x@a.example`), {
      kind: 'found',
      key: `u${n}@a.example`,
      value: `home ${n}`,
    })
  assert.deepEqual(await ask('any@b.example'), { kind: 'found', key: '@b.example', value: 'all' })
  assert.deepEqual(await ask('u1000@a.example'), { kind: 'missing' })
  make({ 'u1000@a.example': 'new' })
  await until('the new file', async () => (await ask('u1000@a.example')).kind === 'found')
  writeFileSync(`${file}.new`, 'no cdb at all')
  renameSync(`${file}.new`, file)
  await until('trouble', async () => (await ask('u1@a.example')).kind === 'trouble')
  maps.close()
})

test('socketmap: kept connections, a server that is slow, mad, or away', { timeout }, async () => {
  const server = await openMapServer({ 'm ann@a.example': 'yes', 'm @b.example': '' })
  const { maps, ask } = open(
    { kind: 'socketmap', server: { kind: 'unix', path: server.path }, name: 'm' },
    { timeout: 1000 },
  )
  assert.deepEqual(await ask('Ann@a.example'), { kind: 'found', key: 'ann@a.example', value: 'yes' })
  assert.deepEqual(await ask('x@b.example'), { kind: 'found', key: '@b.example', value: '' })
  assert.deepEqual(await ask('x@c.example'), { kind: 'missing' })
  const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => ask(`u${n}@a.example`)))
  assert.ok(answers.every(({ kind }) => kind === 'missing'))
  assert.ok(server.connections() <= 2, `${server.connections()} connections, of which there are two at most`)
  for (const bad of ['TEMP broken', 'PERM no', 'TIMEOUT slow', 'NOTFOUN', 'x'.repeat(70_000)]) {
    server.answer(bad)
    await until('an answer by the server', async () => {
      const answer = await ask('y@a.example')
      assert.equal(answer.kind, 'trouble', bad)
      return answer.kind === 'trouble' && !/^OK/.test(answer.why)
    })
  }
  server.answer(null)
  await server.stop()
  assert.equal((await ask('ann@a.example')).kind, 'trouble')
  await server.start()
  await until('it to be asked again', async () => (await ask('ann@a.example')).kind === 'found')
  maps.close()
  await server.close()
})

test('http: escaped keys, a login, and what each status means', { timeout }, async () => {
  const seen: IncomingMessage[] = []
  const status = new Map([
    ['/u/ann%2Bx%40a.example%20%2F..', 200],
    ['/u/gone%40a.example', 410],
    ['/u/moved%40a.example', 301],
  ])
  const server = createServer((request, response) => {
    seen.push(request)
    const code = status.get(request.url ?? '') ?? (request.url?.includes('sick') ? 500 : 404)
    response
      .writeHead(code, { location: '/u/ann' })
      .end(request.url?.includes('big') ? 'x' : 'ben@b.example\n')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const passwordFile = join(directory, 'http.password')
  writeFileSync(passwordFile, 'geheim\n')
  const source = { kind: 'http', url: `http://127.0.0.1:${port}/u/%k`, tls: { caFile: null } } as const
  const { maps } = open({ ...source, login: { user: 'mta', passwordFile } })
  const ask = async (key: string) => maps.ask('m', 'exact', key)
  const key = 'ann+x@a.example /..'
  assert.deepEqual(await ask(key), { kind: 'found', key, value: 'ben@b.example' })
  assert.equal(seen[0]?.headers.authorization, `Basic ${Buffer.from('mta:geheim').toString('base64')}`)
  assert.deepEqual(await ask('gone@a.example'), { kind: 'missing' })
  assert.deepEqual(await ask('nobody@a.example'), { kind: 'missing' })
  for (const bad of ['sick@a.example', 'moved@a.example'])
    await until('the status', async () => {
      const answer = await ask(bad)
      assert.equal(answer.kind, 'trouble')
      return answer.kind === 'trouble' && answer.why.includes(bad.startsWith('sick') ? '500' : '301')
    })
  maps.close()
  server.closeAllConnections()
  server.close()
})

test('dns: records below a suffix, addresses turned round, trouble', { timeout }, async () => {
  const names = await startNameServer({
    'TXT ann._at_.a.example.maps.test': {
      answers: [record.txt('ann._at_.a.example.maps.test', 'ben@b.example')],
    },
    'TXT 7.2.0.192.maps.test': { answers: [record.txt('7.2.0.192.maps.test', 'bad')] },
    'TXT sick.maps.test': { rcode: 2 },
  })
  const [address = '', port = ''] = names.address.split(':')
  const stub = new Stub({
    servers: () => ({
      servers: [{ address, port: Number(port), trusted: false }],
      timeout: 2000,
      attempts: 1,
    }),
    cacheEntries: 100,
    cacheOctets: 100_000,
    log,
    now: () => performance.now(),
  })
  const { maps } = open({ kind: 'dns', suffix: 'maps.test', record: 'txt' }, {}, stub)
  const ask = async (key: string) => maps.ask('m', 'exact', key)
  assert.deepEqual(await ask('ann@a.example'), {
    kind: 'found',
    key: 'ann@a.example',
    value: 'ben@b.example',
  })
  assert.deepEqual(await ask('192.0.2.7'), { kind: 'found', key: '192.0.2.7', value: 'bad' })
  assert.deepEqual(await ask('ben@a.example'), { kind: 'missing' })
  assert.deepEqual(await ask('no name'), { kind: 'missing' })
  assert.equal((await ask('sick')).kind, 'trouble')
  names.close()
})

test('PostgreSQL: bound parameters, rows and columns, a slow query, death and return', {
  timeout,
}, async (t) => {
  const server = await openPostgresql('geheim')
  if (!server) return t.skip('PostgreSQL cannot be had')
  try {
    server.sql(`CREATE TABLE users (name text, domain text, home text, box text);
      INSERT INTO users VALUES ('ann', 'a.example', '/h/ann', 'box'), ('two', 'a.example', 'x', NULL), ('two', 'a.example', 'y', 'z')`)
    const source = {
      kind: 'postgresql',
      server: { kind: 'unix', path: server.directory },
      database: 'postgres',
      login: { user: 'posthorn', passwordFile: server.passwordFile },
      tls: null,
    } as const
    const query = "SELECT home, box FROM users WHERE name = :user::text AND domain = :domain AND :key <> ''"
    const { maps, ask } = open({ ...source, query }, { timeout: 20_000 })
    assert.deepEqual(await ask('ann@a.example'), { kind: 'found', key: 'ann@a.example', value: '/h/ann:box' })
    assert.deepEqual(await ask('two@a.example'), { kind: 'found', key: 'two@a.example', value: 'x:, y:z' })
    assert.deepEqual(await ask("x'; DROP TABLE users; --@a.example"), { kind: 'missing' })
    await server.kill()
    assert.equal((await ask('ann@a.example')).kind, 'trouble')
    await server.start()
    await until('it to be asked again', async () => (await ask('ann@a.example')).kind === 'found')
    maps.close()
    const slow = open({ ...source, query: 'SELECT pg_sleep(60), :key' }, { timeout: 300 })
    assert.equal((await slow.ask('ann@a.example')).kind, 'trouble')
    slow.maps.close()
    const writes = open({ ...source, query: 'INSERT INTO users VALUES (:key) RETURNING name' })
    const refused = await writes.ask('ann@a.example')
    assert.match(refused.kind === 'trouble' ? refused.why : '', /read-only/)
    writes.maps.close()
  } finally {
    await server.close()
  }
})

test('LDAP: filters with escaped keys, a login, death and return', { timeout }, async (t) => {
  const login = { dn: 'cn=mta,dc=example', password: 'geheim' }
  const ldif = `dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: x

dn: cn=Ann,dc=example\nobjectClass: inetOrgPerson\ncn: Ann\nsn: A\nmail: ann@a.example\nmail: a@a.example

dn: cn=Star,dc=example\nobjectClass: inetOrgPerson\ncn: Star\nsn: S\nmail: star*(x)@a.example\n`
  const server = await openSlapd(ldif, login)
  if (!server) return t.skip('slapd cannot be had')
  const passwordFile = join(directory, 'ldap.password')
  writeFileSync(passwordFile, `${login.password}\n`)
  const source = {
    kind: 'ldap',
    url: server.url,
    base: 'dc=example',
    scope: 'sub',
    filter: '(mail=%k)',
    attribute: 'MAIL',
    login: { user: login.dn, passwordFile },
    tls: null,
  } as const
  try {
    const { maps } = open(source)
    const ask = async (key: string) => maps.ask('m', 'exact', key)
    const both = { kind: 'found', key: 'a@a.example', value: 'ann@a.example, a@a.example' }
    assert.deepEqual(await ask('a@a.example'), both)
    assert.equal((await ask('star*(x)@a.example')).kind, 'found')
    assert.deepEqual(await ask('*'), { kind: 'missing' }, 'no wildcard comes from a key')
    assert.deepEqual(await ask('nobody@a.example'), { kind: 'missing' })
    await server.stop()
    assert.equal((await ask('a@a.example')).kind, 'trouble')
    await server.start()
    await until('it to be asked again', async () => (await ask('a@a.example')).kind === 'found')
    maps.close()
    writeFileSync(passwordFile, 'wrong\n')
    const wrong = open(source)
    assert.equal(
      (await wrong.ask('a@a.example')).kind,
      'trouble',
      'a wrong password is trouble, not an empty directory',
    )
    wrong.maps.close()
    const anonymous = open({ ...source, login: nobody })
    // who may see nothing is told that there is no dc=example
    assert.equal((await anonymous.ask('a@a.example')).kind, 'trouble')
    anonymous.maps.close()
  } finally {
    await server.close()
  }
})
