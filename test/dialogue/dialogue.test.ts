/**
 * Every dialogue file of this folder, once against the session in memory and once against a real smtpd's port.
 */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import type { Event } from '../../services/smtpd/state.ts'
import type { TlsFacts } from '../../services/smtpd/tls-facts.ts'
import type { FilterSlice } from '../../shared/config/filter-slice.ts'
import type { ListenerSlice } from '../../shared/config/slices.ts'
import { startMilter } from '../support/milter.ts'
import { makeRig } from '../support/worker.ts'
import { writeCertificate } from '../system/smtpd-certificate.ts'
import { openStage } from '../system/smtpd-stage.ts'
import { Player } from './player.ts'
import { CLOSE, type EventName, MORE, matchesLine, readScripts, type Script } from './script.ts'

const scripts = readScripts()

/** One side of a dialogue: says octets, gives the next line of the other side or CLOSE, makes something happen. */
interface Voice {
  say: (octets: Buffer) => Promise<void>
  hear: () => Promise<string>
  event: (name: EventName) => Promise<void>
}

async function perform(script: Script, voice: Voice): Promise<void> {
  let ahead: string | null = null
  for (const [n, turn] of script.turns.entries()) {
    if (turn.who === 'client') {
      await voice.say(turn.octets)
      continue
    }
    if (turn.who === 'event') {
      await voice.event(turn.event)
      continue
    }
    for (const expected of turn.lines) {
      let line: string = ahead ?? (await voice.hear())
      ahead = null
      if (MORE.test(expected)) {
        while (line.startsWith(expected.slice(0, 4))) line = await voice.hear()
        ahead = line
        continue
      }
      assert.ok(matchesLine(expected, line), `${script.name}, turn ${n}: wanted "${expected}", got "${line}"`)
    }
  }
}

const TLS: TlsFacts = { version: 'TLSv1.3', cipher: 'TEST', exporter: null, certificateNames: [] }
const happenings: Readonly<Record<EventName, Event>> = {
  tls: { kind: 'secured', tls: TLS },
  drain: { kind: 'drain' },
  silence: { kind: 'timeout', limit: 'command' },
  'late hello': { kind: 'timeout', limit: 'hello' },
  'late login': { kind: 'timeout', limit: 'login' },
  'late envelope': { kind: 'timeout', limit: 'envelope' },
  'late content': { kind: 'timeout', limit: 'content' },
  'late session': { kind: 'timeout', limit: 'session' },
}

function playedVoice({ options, scene }: Script): Voice {
  const player = new Player(options, scene)
  let lines: string[] = []
  return {
    say: (octets) => player.write(octets),
    hear: async () => {
      await player.settle()
      lines = [...lines, ...player.takeOutput().split('\r\n').slice(0, -1)]
      return lines.shift() ?? (player.closed ? CLOSE : '(silence)')
    },
    event: async (name) => player.feed(happenings[name]),
  }
}

/** On a socket, and on the TLS that comes to lie over it. */
class RealVoice implements Voice {
  #socket: Socket
  readonly #drain: () => void
  #text = ''
  #ended = false
  #wake: () => void = () => undefined

  constructor(socket: Socket, drain: () => void) {
    this.#socket = this.#listenTo(socket)
    this.#drain = drain
  }

  #listenTo(socket: Socket): Socket {
    socket.on('data', (data: Buffer) => {
      this.#text += data.toString('latin1')
      this.#wake()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
    return socket
  }

  async say(octets: Buffer): Promise<void> {
    this.#socket.write(octets)
  }

  async hear(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf('\r\n')
      if (end >= 0) {
        const line = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + 2)
        return line
      }
      if (this.#ended) return CLOSE
      await new Promise<void>((done) => {
        this.#wake = done
      })
    }
  }

  async event(name: EventName): Promise<void> {
    if (name === 'drain') this.#drain()
    if (name !== 'tls') return // silence and deadlines are what comes of itself
    const plain = this.#socket
    plain.removeAllListeners('data')
    const secure = connectTls({ socket: plain, rejectUnauthorized: false })
    await new Promise((done, fail) => secure.once('secureConnect', done).once('error', fail))
    this.#socket = this.#listenTo(secure)
  }
}

/** What is around a real session: its certificate and its filter. */
async function furnish(
  { options, scene }: Script,
  directory: string,
  t: TestContext,
): Promise<Partial<ListenerSlice>> {
  const { tls = { mode: 'none', context: null, sni: [] } } = options
  const context = tls.context && writeCertificate(directory)
  if (!scene.milter) return { ...options, tls: { ...tls, context } }
  const { script, onFailure } = scene.milter
  const path = join(directory, 'milter.sock')
  if (script !== 'absent') t.after((await startMilter(path, script)).stop)
  const patience = { connectTimeout: 30_000, timeout: 30_000, contentTimeout: 30_000 }
  const filter: FilterSlice = {
    name: 'filter',
    by: { kind: 'milter', address: { kind: 'unix', path } },
    onFailure,
    ...patience,
  }
  return { ...options, tls: { ...tls, context }, filters: [filter] }
}

async function performOnPort(script: Script, t: TestContext): Promise<void> {
  const { policies = [], answers, intake, full } = script.scene
  const rig = makeRig()
  t.after(rig.close)
  const stage = await openStage(await furnish(script, rig.directory, t), { policies }, answers)
  t.after(stage.close)
  // ahead of the answer to the session, on the same connection
  if (intake && intake.state !== 'down') {
    const { state, reason, storage } = intake
    stage.qmgr.send('load', { intake: state, reason, storage })
  }
  if (full) stage.qmgr.send('backlog', { full: [...full], relieved: [] })
  const socket = stage.path === '' ? connect(stage.port, '127.0.0.1') : connect(stage.path)
  t.after(() => void socket.destroy())
  await perform(script, new RealVoice(socket, () => void stage.worker.drain()))
}

test('there are dialogues', () => assert.ok(scripts.length >= 10))

for (const script of scripts) {
  if (!script.scene.milter)
    test(`${script.name}, in memory`, { timeout: 30_000 }, () => perform(script, playedVoice(script)))

  test(`${script.name}, on a port`, { timeout: 60_000 }, (t) => performOnPort(script, t))
}
