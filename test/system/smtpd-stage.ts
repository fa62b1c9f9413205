/**
 * A real smtpd process on a port of its own, between a qmgr and a resolver that the test plays: they answer as
 * they are told and keep what they were given.
 *
 * Defaults: sessions go, messages are accepted, recipients at `example.org` are local, `nobody@` is refused, other
 * domains are remote. A test changes an answer by replacing a function of `stage.answers`.
 */
import net from 'node:net'
import { resolve } from 'node:path'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import type { BoundsSlice } from '../../shared/config/bounds.ts'
import type { PatienceSlice } from '../../shared/config/patience.ts'
import { emptyBook } from '../../shared/config/rule-book.ts'
import type { ListenerSlice, SmtpdSlice } from '../../shared/config/slices.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import { makeRig, playHub, type Rig, startWorker, type TestWorker } from '../support/worker.ts'

/** anna's password is `secret`. */
export const STAGE_PASSWORDS = resolve('test/support/stage.passwords')

export interface Taken {
  envelope: Envelope
  content: Buffer
}

/** What a qmgr and a resolver say. Each may throw: then there is no answer. */
export interface PlainAnswers {
  'session-open': (question: Payload<'session-open'>) => Answer<'session-open'>
  'login-try': (who: Payload<'login-try'>) => Answer<'login-try'>
  resolve: (question: Payload<'resolve'>) => Answer<'resolve'>
  caller: (question: Payload<'caller'>) => Answer<'caller'>
  screen: (question: Payload<'screen'>) => Answer<'screen'>
  'name-client': (question: Payload<'name-client'>) => Answer<'name-client'>
  greylist: (question: Payload<'greylist'>) => Answer<'greylist'>
  'look-up-text': (question: Payload<'look-up-text'>) => Answer<'look-up-text'>
  'look-up': (question: Payload<'look-up'>) => Answer<'look-up'>
  'sender-policy': (question: Payload<'sender-policy'>) => Answer<'sender-policy'>
  'queue-act': (question: Payload<'queue-act'>) => Answer<'queue-act'>
  submit: (message: Payload<'submit'>) => Answer<'submit'>
}

type Late = 'session-open' | 'login-try' | 'resolve' | 'submit'

/** A stage's may take their time. */
export type Answers = Omit<PlainAnswers, Late> & {
  [N in Late]: (question: Payload<N>) => Answer<N> | Promise<Answer<N>>
} & {
  /** How much credit a chunk gives back. */
  credit: (chunk: Payload<'content-chunk'>) => number
}

export function usualAnswers(): PlainAnswers {
  return {
    'session-open': () => ({ kind: 'go' }),
    'login-try': () => ({ kind: 'go' }),
    resolve: resolveByName,
    caller: () => ({ kind: 'known', name: 'ann', fullName: 'Ann Bee', groups: ['staff'] }),
    screen: () => ({ score: 0, signs: [] }),
    'name-client': () => ({ kind: 'none' }),
    greylist: () => ({ wait: 0, known: false }),
    'look-up-text': () => ({ kind: 'found', texts: [] }),
    'look-up': ({ questions }) => ({ answers: questions.map(() => ({ kind: 'missing' })) }),
    'sender-policy': () => ({ result: 'none' }),
    'queue-act': hurry,
    submit: () => ({ kind: 'accepted' }),
  }
}

export interface Stage {
  port: number
  path: string
  worker: TestWorker
  rig: Rig
  answers: Answers
  /** Accepted messages, whole. */
  taken: Taken[]
  /** Streams that smtpd gave up. */
  aborted: number[]
  /** Octets of each stream so far. */
  streamed: Map<number, number>
  closedSessions: string[]
  /** What was told of logins. */
  logins: Payload<'login-over'>[]
  qmgr: Peer
  /** qmgr goes away and comes back at once, and gives this serial. */
  restartQmgr: (serial: number) => Promise<void>
  stopQmgr: () => void
  close: () => Promise<void>
}

/** As when nothing is configured. */
export const stageBounds: BoundsSlice = {
  commandLength: 2048,
  transactions: 100_000,
  hops: 100,
  headerSize: 256 << 10,
  headerFields: 1000,
  headerLine: 64 << 10,
  line: 0,
  headerNul: 'refuse',
  bodyNul: 'refuse',
  header8bit: 'pass',
}

/** As when nothing is configured. */
export const stagePatience: PatienceSlice = {
  handshake: 60_000,
  hello: 300_000,
  login: 180_000,
  envelope: 900_000,
  content: 600_000,
  contentRate: 1024,
  session: 6 * 3600_000,
}

export function listenerSlice(change: Partial<ListenerSlice> = {}): ListenerSlice {
  return {
    name: 'mx',
    kind: 'mx',
    endpoint: { kind: 'tcp', address: '127.0.0.1', port: 0 },
    tls: { mode: 'none', context: null, sni: [] },
    auth: null,
    senderLogin: null,
    relay: [],
    allow: [{ negated: false, network: 'any' }],
    ...{ proxy: [], xclient: [], xforward: [], vrfy: [], expn: [], etrn: [] },
    clientNames: 'usual',
    greetingDelay: 0,
    messageSizeLimit: 10 << 20,
    recipientLimit: 1000,
    sessionLimit: 100,
    errorLimit: 20,
    commandTimeout: 300_000,
    patience: stagePatience,
    tarpit: { after: 10, delay: 0, sessions: 100 },
    bareNewline: 'refuse',
    bounds: stageBounds,
    authenticate: false,
    trustedSealers: [],
    cutThrough: 0,
    holdLimit: 0,
    removesArguments: false,
    userAgents: false,
    requireSignature: false,
    sign: false,
    screening: null,
    access: [],
    filters: [],
    ...change,
  }
}

/** Mail waits for one domain only. */
function hurry({ filter }: Payload<'queue-act'>): Answer<'queue-act'> {
  return { kind: 'done', recipients: filter.domain === 'waits.example' ? 3 : 0 }
}

export function resolveByName({ address }: Payload<'resolve'>): Answer<'resolve'> {
  if (address.startsWith('nobody@'))
    return { kind: 'refused', reply: { code: 550, enhanced: '5.1.1', text: 'No such user', host: '' } }
  const own = address.endsWith('@example.org') || address === 'postmaster'
  return {
    kind: 'found',
    class: own ? 'local' : 'remote',
    zone: own ? 'example.org' : '.',
    targets: [{ address }],
  }
}

interface BoundHandle {
  fd: number
  getsockname?: (out: { port?: number }) => void
}

/** Bound, not listening, as mcp does it; net keeps this function half hidden. */
function bind(path: string): { fd: number; port: number } {
  const make = (net as unknown as { _createServerHandle: (...where: unknown[]) => BoundHandle | number })
    ._createServerHandle
  const handle = path ? make(path, -1, -1) : make('127.0.0.1', 0, 4)
  if (typeof handle === 'number') throw new Error(`cannot bind: ${handle}`)
  const name: { port?: number } = {}
  handle.getsockname?.(name)
  kept.push(handle)
  return { fd: handle.fd, port: name.port ?? 0 }
}

/** A port of loopback that nobody listens on yet. */
export function bindLoopback(): { fd: number; port: number } {
  return bind('')
}

/** A handle that is collected closes its descriptor. */
const kept: BoundHandle[] = []

export const stageSite = {
  hostname: 'mx.example.org',
  qualifyDomain: 'example.org',
  inlineLimit: 128 << 10,
  policies: [],
  rules: emptyBook,
  signing: null,
  dkim: [],
  recipientDelimiter: '+',
  reports: false,
}

/** Nobody can read its key. */
const keyless: Pick<SmtpdSlice, 'signing' | 'dkim'> = {
  signing: { domains: ['client.example'], bodies: ['relaxed'] },
  dkim: [
    {
      ...{ name: 'lost', domains: ['client.example'], senders: null, lifetime: null, algorithm: null },
      ...{ header: 'relaxed', body: 'relaxed', onFailure: 'tempfail' },
      from: { kind: 'file', selector: 's', path: '/dev/null' },
    },
  ],
}

export async function openStage(
  change: Partial<ListenerSlice> = {},
  site: Partial<SmtpdSlice> = {},
  given: Partial<Answers> = {},
): Promise<Stage> {
  const rig = makeRig()
  const answers: Answers = { ...usualAnswers(), credit: (chunk) => chunk.data.length, ...given }
  const taken: Taken[] = []
  const aborted: number[] = []
  const streamed = new Map<number, number>()
  const chunks = new Map<number, Buffer[]>()
  const closedSessions: string[] = []
  const logins: Payload<'login-over'>[] = []
  const handlers = {
    'session-open': (question: Payload<'session-open'>) => answers['session-open'](question),
    'login-try': (who: Payload<'login-try'>) => answers['login-try'](who),
    'login-over': (what: Payload<'login-over'>) => void logins.push(what),
    'session-close': ({ session }: Payload<'session-close'>) => void closedSessions.push(session),
    'content-chunk': (chunk: Payload<'content-chunk'>, peer: Peer) => {
      const { stream, data } = chunk
      chunks.set(stream, [...(chunks.get(stream) ?? []), Buffer.from(data)])
      streamed.set(stream, (streamed.get(stream) ?? 0) + data.length)
      const octets = answers.credit(chunk)
      if (octets > 0) peer.send('content-credit', { stream, octets })
    },
    'content-abort': ({ stream }: Payload<'content-abort'>) => {
      aborted.push(stream)
      chunks.delete(stream)
    },
    'queue-act': (question: Payload<'queue-act'>) => answers['queue-act'](question),
    submit: async (message: Payload<'submit'>) => {
      const answer = await answers.submit(message)
      const { envelope, content } = message
      if (answer.kind === 'accepted')
        taken.push({
          envelope,
          content: content ? Buffer.from(content) : Buffer.concat(chunks.get(envelope.id) ?? []),
        })
      chunks.delete(envelope.id)
      return answer
    },
  }
  const playQmgr = (serial: number) => playHub('qmgr', rig.buses.qmgr, handlers, serial)
  let qmgr = await playQmgr(1)
  const resolver = await playHub('resolver', rig.buses.resolver, {
    resolve: (question) => answers.resolve(question),
    caller: (question) => answers.caller(question),
    screen: (question) => answers.screen(question),
    'name-client': (question) => answers['name-client'](question),
    greylist: (question) => answers.greylist(question),
    'look-up-text': (question) => answers['look-up-text'](question),
    'look-up': (question) => answers['look-up'](question),
    'sender-policy': (question) => answers['sender-policy'](question),
  })
  const slice = listenerSlice(change)
  const path = slice.endpoint.kind === 'unix' ? `${rig.directory}/submit.sock` : ''
  const bound = bind(path)
  const worker = await startWorker(
    'smtpd',
    {
      ...stageSite,
      ...(slice.sign && keyless),
      ...site,
      listeners: [slice],
    },
    rig,
    { descriptors: { [slice.name]: 5 } },
    undefined,
    [bound.fd],
  )
  const stage: Stage = {
    port: bound.port,
    path,
    worker,
    rig,
    answers,
    taken,
    aborted,
    streamed,
    closedSessions,
    logins,
    qmgr: await qmgr.joined(),
    stopQmgr: () => {
      for (const peer of qmgr.hub.peers) peer.destroy('test')
      qmgr.hub.close()
    },
    restartQmgr: async (serial) => {
      stage.stopQmgr()
      qmgr = await playQmgr(serial)
      stage.qmgr = await qmgr.joined()
    },
    close: async () => {
      await worker.drain()
      qmgr.hub.close()
      resolver.hub.close()
      rig.close()
    },
  }
  return stage
}
