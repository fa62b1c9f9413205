/** Whose word counts for the way to a host, and a proxy that passes on what the host said at once. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { goThrough } from '../../services/smtpc/proxy.ts'
import { STRAIGHT, wayFor } from '../../services/smtpc/way.ts'
import {
  type OutgoingProxy,
  type OutgoingWay,
  PUBLISHED,
  type TlsRule,
} from '../../shared/config/options-outgoing.ts'
import type { ConnectionTerms } from '../../shared/message/connection-terms.ts'

const timeout = 60_000
const proxy = (port: number) => ({ kind: 'socks5' as const, host: '127.0.0.1', port, login: null })
const NOTHING: OutgoingWay = {
  tls: null,
  tlsNames: null,
  caFile: null,
  identity: null,
  proxy: null,
  source: null,
  helo: null,
}
const way = (more: Partial<OutgoingWay>): OutgoingWay => ({ ...NOTHING, ...more })
const encrypt: TlsRule = { level: 'encrypt', fingerprints: [] }
const verify: TlsRule = { level: 'verify', fingerprints: [] }
const identity = { certificate: '/c', key: '/k' }

test('server, then zone, then smtpc, each of them by itself', () => {
  const ways = {
    usual: way({ proxy: proxy(1) }),
    zones: { z: way({ proxy: proxy(2), identity, tls: encrypt }), mute: way({ proxy: 'none' }) },
    servers: { s: way({ proxy: proxy(3), tls: verify, caFile: '/ca' }) },
  }
  const found = (zone: string, terms?: ConnectionTerms) => {
    const { key: _, tlsNames: __, ...rest } = wayFor(ways, zone, terms)
    return rest
  }
  const usual = { tls: PUBLISHED, caFile: null, identity: null, source: null, helo: null }
  const terms = (group: string) => ({ group, most: 1 })
  assert.deepEqual(found('.'), { ...usual, proxy: proxy(1) })
  assert.deepEqual(found('z'), { ...usual, tls: encrypt, identity, proxy: proxy(2) })
  assert.deepEqual(found('z', terms('server s')), {
    ...usual,
    ...{ tls: verify, caFile: '/ca', identity, proxy: proxy(3) },
  })
  assert.deepEqual(found('.', terms('s')), { ...usual, proxy: proxy(1) })
  const source = { addresses: ['192.0.2.1'], turns: false }
  const split = { usual: way({ source }), zones: { z: way({ helo: 'z.example' }) }, servers: {} }
  const both = wayFor(split, 'z', undefined)
  assert.deepEqual(
    [both.source, both.helo, both.key === wayFor(split, '.', undefined).key],
    [source, 'z.example', false],
  )
  assert.equal(wayFor(ways, 'z', undefined), wayFor(ways, 'z', terms('s')), 'worked out once')
  assert.equal(wayFor(ways, 'mute', undefined), STRAIGHT)
  assert.equal(wayFor({ usual: way({}), zones: {}, servers: {} }, 'toString', undefined), STRAIGHT)
})

test('a greeting in the segment of the last word of the proxy is not lost', { timeout }, async (t) => {
  const server = createServer((socket) => {
    socket.once('data', () => {
      socket.write(Buffer.from([5, 0]))
      socket.once('data', () =>
        socket.write(
          Buffer.concat([Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 25]), Buffer.from('220 hello')]),
        ),
      )
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1')
  t.after(() => {
    socket.destroy()
    server.close()
  })
  await once(socket, 'connect')
  await new Promise<void>((through, failed) => {
    goThrough(proxy(port), socket, { name: 'x', address: '127.0.0.1', port: 25 }, { through, failed })
  })
  const heard = once(socket, 'data')
  socket.resume()
  assert.equal(String((await heard)[0]), '220 hello')
})

test('a proxy that refuses is told with its name', { timeout }, async (t) => {
  const server = createServer((socket) => socket.once('data', () => socket.end(Buffer.from([5, 255]))))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  t.after(() => {
    socket.destroy()
    server.close()
  })
  await once(socket, 'connect')
  const error = await new Promise<Error>((failed, through) => {
    goThrough(
      proxy(port),
      socket,
      { name: 'x', address: '127.0.0.1', port: 25 },
      { through: () => through(new Error('got through')), failed },
    )
  })
  assert.match(error.message, new RegExp(`^proxy 127\\.0\\.0\\.1:${port}: `))
})

/** What a proxy of HTTP is asked, and what comes of its answer: what is read from the host, or the trouble. */
async function askWebProxy(t: TestContext, address: string, login: OutgoingProxy['login'], answer: string[]) {
  let asked = ''
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (octets: Buffer) => {
      asked += octets.toString()
      if (!asked.endsWith('\r\n\r\n')) return
      const next = () => {
        const piece = answer.shift()
        if (piece === undefined) socket.end()
        else socket.write(piece, () => setImmediate(next))
      }
      next()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => undefined)
  t.after(() => {
    socket.destroy()
    server.close()
  })
  await once(socket, 'connect')
  const came = await new Promise<string>((done) => {
    const through = () => {
      let text = ''
      socket.on('data', (octets: Buffer) => {
        text += octets.toString()
      })
      socket.on('end', () => done(text))
      socket.resume()
    }
    const failed = (error: Error) => done(error.message.replace(String(port), 'PORT'))
    goThrough(
      { ...proxy(port), kind: 'http', login },
      socket,
      { name: 'x', address, port: 25 },
      { through, failed },
    )
  })
  return { asked, came }
}

test('a proxy of HTTP is asked by CONNECT, and what follows its answer is the host', {
  timeout,
}, async (t) => {
  const login = { user: 'ann', password: 's3cret' }
  const plain = await askWebProxy(t, '192.0.2.1', login, [
    'HTTP/1.1 200 ok\r\nVia: x\r\n\r\n220 hel',
    'lo\r\n',
  ])
  assert.deepEqual(plain, {
    asked:
      'CONNECT 192.0.2.1:25 HTTP/1.1\r\nHost: 192.0.2.1:25\r\nProxy-Authorization: Basic YW5uOnMzY3JldA==\r\n\r\n',
    came: '220 hello\r\n',
  })
  const six = await askWebProxy(t, '2001:db8::1', null, [...'HTTP/1.0 200\r\n\r\n', '220 x'])
  assert.deepEqual(six, {
    asked: 'CONNECT [2001:db8::1]:25 HTTP/1.1\r\nHost: [2001:db8::1]:25\r\n\r\n',
    came: '220 x',
  })
})

test('a proxy of HTTP that refuses, says nonsense or nothing is told with its name', {
  timeout,
}, async (t) => {
  const told = async (...answer: string[]) => (await askWebProxy(t, '192.0.2.1', null, answer)).came
  assert.equal(await told('HTTP/1.1 403 no\r\n\r\n'), 'proxy 127.0.0.1:PORT: answers "HTTP/1.1 403 no"')
  assert.equal(await told('220 x\r\n\r\n'), 'proxy 127.0.0.1:PORT: answers "220 x"')
  assert.equal(await told(), 'proxy 127.0.0.1:PORT: the connection was closed')
  assert.equal(await told('HTTP/1.1 200 ok\r\n'), 'proxy 127.0.0.1:PORT: the connection was closed')
  assert.equal(await told('x'.repeat(20_000)), 'proxy 127.0.0.1:PORT: no end to its answer')
})
