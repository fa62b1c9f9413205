/** The bus between two ends of a real socket: what passes, what ends the connection, what a loss does. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { silentLog } from '../../shared/base/log.ts'
import { openHub } from '../../shared/bus/hub.ts'
import { openLink } from '../../shared/bus/link.ts'
import { busMessages } from '../../shared/bus/messages.ts'
import { BusLost, type Handlers, type Identity, Peer } from '../../shared/bus/peer.ts'

let directory = ''
let server: Server
let path = ''
before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'posthorn-bus-'))
  path = join(directory, 'socket')
  server = createServer()
  server.listen(path)
  await once(server, 'listening')
})
after(() => {
  server.close()
  rmSync(directory, { recursive: true, force: true })
})

async function pair(): Promise<[Socket, Socket]> {
  const accepted = once(server, 'connection')
  const near = connect(path)
  const [far] = (await accepted) as [Socket]
  return [near, far]
}

interface End {
  peer: Peer
  trouble: Promise<string>
}

function end(socket: Socket, self: 'qmgr' | 'smtpd', handlers: Handlers): End {
  let ended: (trouble: string) => void = () => undefined
  const trouble = new Promise<string>((resolve) => {
    ended = resolve
  })
  const peer = new Peer({ socket, self, handlers, onEnd: ended, onPanic: () => undefined })
  peer.setRemoteRole(self === 'qmgr' ? 'smtpd' : 'qmgr')
  return { peer, trouble }
}

const packr = new Packr({ useRecords: false })
function frame(...message: unknown[]): Buffer {
  const body = packr.pack(message)
  const head = Buffer.alloc(8)
  head.writeUInt32BE(body.length)
  return Buffer.concat([head, body])
}
const indexOf = (name: string) => Object.keys(busMessages).indexOf(name)

describe('bus peer', { timeout: 20_000 }, () => {
  it('carries requests and events in order, in one direction each', async () => {
    const [near, far] = await pair()
    const heard: string[] = []
    const qmgr = end(far, 'qmgr', {
      'session-open': ({ session }) => {
        heard.push(session)
        return { kind: 'go' }
      },
      'session-close': ({ session }) => void heard.push(`-${session}`),
    })
    const smtpd = end(near, 'smtpd', {})
    smtpd.peer.send('session-close', { session: 'S0' })
    const answers = await Promise.all(
      ['S1', 'S2'].map((session) =>
        smtpd.peer.request('session-open', { session, listener: 'mx', client: '::1' }),
      ),
    )
    assert.deepEqual(answers, [{ kind: 'go' }, { kind: 'go' }])
    assert.deepEqual(heard, ['-S0', 'S1', 'S2'])
    smtpd.peer.close()
    assert.equal(await qmgr.trouble, '')
  })

  const bad: [string, Buffer, RegExp][] = [
    [
      'a field of the wrong type',
      frame(indexOf('session-close'), 0, { session: 7 }),
      /session-close.session: expected a string/,
    ],
    ['an unknown field', frame(indexOf('session-close'), 0, { session: 'S', more: 1 }), /unknown field more/],
    ['a missing field', frame(indexOf('session-close'), 0, {}), /session-close.session/],
    [
      'a message that smtpd may not send',
      frame(indexOf('load'), 0, { intake: 'go', reason: '' }),
      /not for smtpd to send/,
    ],
    ['a message that qmgr does not take', frame(indexOf('resolve'), 1, { address: 'a@b' }), /not for qmgr/],
    ['an unknown name', frame(200, 0, {}), /unknown name 200/],
    ['another form', frame('x'), /unknown form/],
    ['no msgpack', Buffer.from([0, 0, 0, 2, 0, 0, 0, 0, 0xc1, 0xc1]), /not msgpack/],
    ['an endless frame', Buffer.alloc(8, 0xff), /a frame of 4294967295 octets/],
  ]
  for (const [what, data, expected] of bad) {
    it(`ends a peer that sends ${what}`, async () => {
      const [near, far] = await pair()
      const qmgr = end(far, 'qmgr', { 'session-close': () => undefined })
      near.on('error', () => undefined)
      near.write(data)
      assert.match(await qmgr.trouble, expected)
      near.destroy()
    })
  }

  it('rejects what was under way when the connection ends', async () => {
    const [near, far] = await pair()
    const smtpd = end(near, 'smtpd', {})
    const asked = smtpd.peer.request('session-open', { session: 'S', listener: 'mx', client: '' })
    far.destroy()
    await assert.rejects(asked, BusLost)
    await assert.rejects(
      smtpd.peer.request('session-open', { session: 'S', listener: 'mx', client: '' }),
      BusLost,
    )
  })

  it('reads the same whatever the splits', async () => {
    const stream = Buffer.concat(
      ['S1', 'S22', 'S333'].map((session) => frame(indexOf('session-close'), 0, { session })),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: stream.length }), { maxLength: 6 }),
        async (cuts) => {
          const [near, far] = await pair()
          const heard: string[] = []
          const qmgr = end(far, 'qmgr', { 'session-close': ({ session }) => void heard.push(session) })
          near.setNoDelay(true)
          let at = 0
          for (const cut of [...cuts.sort((a, b) => a - b), stream.length]) {
            near.write(stream.subarray(at, cut))
            at = Math.max(at, cut)
            await new Promise((resolve) => setImmediate(resolve))
          }
          near.end()
          await qmgr.trouble
          assert.deepEqual(heard, ['S1', 'S22', 'S333'])
        },
      ),
      { numRuns: 40 },
    )
  })
})

describe('bus link and hub', { timeout: 20_000 }, () => {
  const identity = (build: string) => (): Identity => ({
    role: 'smtpd',
    name: 'smtpd-1',
    pid: 1,
    build,
    epoch: 1,
  })

  it('redials by itself when the hub comes back, and is refused by build', async () => {
    const hubPath = join(directory, 'hub')
    let serial = 0
    const open = async () => {
      const hub = openHub({
        self: 'qmgr',
        handlers: { 'session-open': () => ({ kind: 'go' }) },
        log: silentLog,
        credentials: () => null,
        admit: ({ build }) =>
          build === 'one'
            ? { kind: 'welcome', epoch: 1, serial: ++serial }
            : { kind: 'refused', reason: 'build' },
      })
      await hub.listen({ path: hubPath })
      return hub
    }
    let hub = await open()
    const ups: number[] = []
    let again: () => void = () => undefined
    const second = new Promise<void>((resolve) => {
      again = resolve
    })
    const link = openLink({
      target: hubPath,
      remote: 'qmgr',
      identity: identity('one'),
      handlers: {},
      log: silentLog,
      onUp: (welcome) => {
        ups.push(welcome.serial)
        if (ups.length === 2) again()
      },
    })
    await link.ready()
    const warned = new Promise<void>((resolve) => {
      const log = { ...silentLog, warn: () => resolve() }
      const other = openLink({
        target: hubPath,
        remote: 'qmgr',
        identity: identity('two'),
        handlers: {},
        log,
      })
      void warnedEnd.then(() => other.close())
    })
    await warned
    tellEnd()
    hub.close()
    for (const peer of hub.peers) peer.destroy('')
    hub = await open()
    await second
    assert.deepEqual(ups, [1, 2])
    assert.deepEqual(await link.request('session-open', { session: 'S', listener: 'mx', client: '' }), {
      kind: 'go',
    })
    link.close()
    hub.close()
  })
  let tellEnd: () => void = () => undefined
  const warnedEnd = new Promise<void>((resolve) => {
    tellEnd = resolve
  })
})
