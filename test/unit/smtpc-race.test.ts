/** Addresses of a host raced: who is tried when, who wins, and what is remembered of it. */
import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import test, { beforeEach, mock } from 'node:test'
import { firstHost, orderTargets, type Target } from '../../services/smtpc/hosts.ts'
import { prefersIPv6, Race, rememberFamily, STAGGER_MS } from '../../services/smtpc/race.ts'

const target = (address: string, name = 'mx'): Target => ({ name, address, port: 25 })

/** A race whose sockets connect and fail when the test says so. */
function begin(...addresses: string[]) {
  const sockets = new Map<string, Socket>()
  const told: string[] = []
  const race = new Race(
    addresses.map((address) => target(address)),
    {
      won: (_, { address }, rest) =>
        told.push(`${address} won, left ${rest.map((one) => one.address).join()}`),
      lost: ({ message }) => told.push(message),
    },
    ({ address }) => {
      const socket = new Socket()
      sockets.set(address, socket)
      return socket
    },
  )
  const emit = (address: string, event: string, error?: Error) => sockets.get(address)?.emit(event, error)
  return {
    race,
    told,
    begun: () => [...sockets.keys()],
    connect: (address: string) => emit(address, 'connect'),
    fail: (address: string) => emit(address, 'error', new Error(`${address} failed`)),
    alive: () => [...sockets].filter(([, socket]) => !socket.destroyed).map(([address]) => address),
  }
}

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout'] })
})

test('the next one is begun after 250 ms, the first that stands wins, the others are dropped', () => {
  const { begun, connect, told, alive } = begin('a', 'b', 'c', 'd')
  assert.deepEqual(begun(), ['a'])
  mock.timers.tick(STAGGER_MS - 1)
  assert.deepEqual(begun(), ['a'])
  mock.timers.tick(1)
  mock.timers.tick(STAGGER_MS)
  assert.deepEqual(begun(), ['a', 'b', 'c'])
  connect('b')
  assert.deepEqual(told, ['b won, left a,c,d'])
  assert.deepEqual(alive(), ['b'])
  mock.timers.tick(10_000)
  connect('a')
  assert.deepEqual([begun().length, told.length], [3, 1])
})

test('one that fails makes room for the next at once; it has failed when all have', () => {
  const { begun, fail, told } = begin('a', 'b')
  fail('a')
  assert.deepEqual(begun(), ['a', 'b'])
  fail('b')
  assert.deepEqual(told, ['b failed'])
  const late = begin('a', 'b')
  mock.timers.tick(STAGGER_MS)
  late.fail('b')
  assert.deepEqual(late.told, [])
  late.connect('a')
  assert.deepEqual(late.told, ['a won, left '])
})

test('a race that is called off tells nothing', () => {
  const { race, alive, connect, fail, told, begun } = begin('a', 'b')
  race.cancel()
  connect('a')
  fail('a')
  mock.timers.tick(10_000)
  assert.deepEqual([told, alive(), begun()], [[], [], ['a']])
})

test('families take turns, that which was reached last first', () => {
  const hosts = [
    { name: 'mx', port: 25, preference: 0, addresses: ['192.0.2.1', '192.0.2.2', '2001:db8::1'] },
    { name: 'other', port: 25, preference: 1, addresses: ['192.0.2.3'] },
  ]
  const order = () => orderTargets(hosts, Math.random, prefersIPv6)
  const addresses = () => firstHost(order()).map(({ address }) => address)
  assert.deepEqual(addresses(), ['2001:db8::1', '192.0.2.1', '192.0.2.2'])
  rememberFamily(target('192.0.2.1'))
  assert.deepEqual(addresses(), ['192.0.2.1', '2001:db8::1', '192.0.2.2'])
  rememberFamily(target('2001:db8::1'))
  assert.equal(addresses()[0], '2001:db8::1')
  assert.deepEqual(firstHost([]), [])
  assert.equal(order().length, 4)
})
