/** Whose word counts for the way to a host, and a proxy that passes on what the host said at once. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { test } from 'node:test'
import { goThrough } from '../../services/smtpc/proxy.ts'
import { STRAIGHT, wayFor } from '../../services/smtpc/way.ts'
import type { OutgoingWay } from '../../shared/config/options-outgoing.ts'

const timeout = 60_000
const proxy = (port: number) => ({ host: '127.0.0.1', port, login: null })
const way = (more: Partial<OutgoingWay>): OutgoingWay => ({ identity: null, proxy: null, ...more })
const identity = { certificate: '/c', key: '/k' }

test('server, then zone, then smtpc, each of the two by itself', () => {
  const ways = {
    usual: way({ proxy: proxy(1) }),
    zones: { z: way({ proxy: proxy(2), identity }), mute: way({ proxy: 'none' }) },
    servers: { s: way({ proxy: proxy(3) }) },
  }
  const terms = (group: string) => ({ group, most: 1 })
  assert.deepEqual(wayFor(ways, '.', undefined), { identity: null, proxy: proxy(1) })
  assert.deepEqual(wayFor(ways, 'z', undefined), { identity, proxy: proxy(2) })
  assert.deepEqual(wayFor(ways, 'z', terms('server s')), { identity, proxy: proxy(3) })
  assert.deepEqual(wayFor(ways, '.', terms('s')), { identity: null, proxy: proxy(1) })
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
