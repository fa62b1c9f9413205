/**
 * The unbound that mcp runs for the resolver: its life as a function of what happens, its configuration, and the probe
 * that tells it from somebody else on its port.
 */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { renderUnboundConfig } from '../../services/mcp/unbound-config.ts'
import { type Happening, isHung, type Life, live, unborn } from '../../services/mcp/validator-life.ts'
import { answers, holdsPort } from '../../services/mcp/validator-probe.ts'

const yes: Happening = { kind: 'probed', answered: true }
const no: Happening = { kind: 'probed', answered: false }
const started: Happening = { kind: 'started' }
const left: Happening = { kind: 'left' }

function after(happenings: readonly Happening[], now = 0, from: Life = unborn): Life {
  return happenings.reduce((life, one) => live(life, one, now), from)
}

test('it is up when it answers, and not before', () => {
  assert.deepEqual(after([started]).phase, { kind: 'starting', since: 0 })
  assert.equal(after([started, no, no, no, no, no]).phase.kind, 'starting')
  assert.equal(after([started, no, yes]).phase.kind, 'up')
  assert.equal(after([yes]).phase.kind, 'off', 'somebody else answers')
  assert.equal(after([started, yes, left, yes]).phase.kind, 'resting')
})

test('four questions without an answer are too many, three and one that comes are not', () => {
  assert.equal(isHung(after([started, yes, no, no, no]), 0), false)
  assert.equal(isHung(after([started, yes, no, no, no, no]), 0), true)
  assert.equal(isHung(after([started, yes, no, no, no, yes, no]), 0), false)
  assert.equal(isHung(after([started, no, no, no, no, no]), 59_999), false)
  assert.equal(isHung(after([started]), 60_000), true)
})

test('it rests twice as long each time, a minute at most, and begins anew when it was steady', () => {
  let life = unborn
  const rests = Array.from({ length: 9 }, () => {
    life = after([started, left], 1000, life)
    return life.phase.kind === 'resting' ? life.phase.until - 1000 : null
  })
  assert.deepEqual(rests, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000])
  assert.equal(life.restarts, 8)
  const steady = live(after([started, yes], 0, life), left, 300_000)
  assert.deepEqual(steady.phase, { kind: 'resting', until: 300_500 })
})

const slice = {
  program: '/usr/sbin/unbound',
  configFile: '/run/x/unbound.conf',
  directory: '/var/x/dnssec',
  port: 5335,
  forward: [],
  trustAnchor: null,
  rootKey: '/usr/share/dns/root.key',
}

test('its configuration: loopback only, the root by itself, keys kept', () => {
  const lines = renderUnboundConfig(slice, '/var/x/dnssec/root.key').split('\n')
  for (const line of [
    'interface: 127.0.0.1@5335',
    'auto-trust-anchor-file: "/var/x/dnssec/root.key"',
    'do-not-query-localhost: yes',
    'control-enable: no',
  ])
    assert.ok(lines.includes(line), line)
  assert.ok(!lines.some((line) => line.startsWith('forward')))
})

test('its configuration: servers that it asks, and another anchor', () => {
  const forward = ['192.0.2.53:53', '[2001:db8::1]:54', '127.0.0.1:5300']
  const text = renderUnboundConfig({ ...slice, forward, trustAnchor: '/etc/k' }, '')
  assert.match(text, /^trust-anchor-file: "\/etc\/k"$/m)
  assert.doesNotMatch(text, /auto-trust-anchor/)
  assert.match(text, /^do-not-query-localhost: no$/m)
  const tail = 'forward-addr: 192.0.2.53@53\nforward-addr: 2001:db8::1@54\nforward-addr: 127.0.0.1@5300\n'
  assert.ok(text.endsWith(`forward-zone:\nname: "."\n${tail}`), text)
})

test('the probe hears who answers, and the kernel says whose port it is', async (t) => {
  const server = createSocket('udp4').bind(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address()
  server.once('message', (query: Buffer, from) => server.send(query, from.port, from.address))
  assert.equal(await answers(port, 30_000), true)
  assert.equal(holdsPort(process.pid, port), true)
  assert.equal(holdsPort(process.ppid, port), false, 'another process')
  assert.equal(holdsPort(2 ** 30, port), false, 'no process')
  assert.equal(await answers(port, 200), false, 'silence')
})
