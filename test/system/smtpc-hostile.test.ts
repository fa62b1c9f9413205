/**
 * smtpc among hosts that misbehave: every misbehaviour at every stage, all at once, while another destination is
 * served. See `hostile-farm.ts`; `smtpc-delivery.test.ts` has what is not hostile.
 *
 * Of each case: the outcome of each recipient; that content is ended by a dot when the outcome says so and never twice;
 * and that no command is ever seen inside content.
 */
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { CONTENT_CHUNK } from '../../shared/bus/messages.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import {
  type HostileHost,
  type HostilePlan,
  type HostileStage,
  MISBEHAVIOURS,
  openHostile,
  STAGES,
} from '../support/hostile-farm.ts'
import { openSink } from '../support/sink.ts'
import { until } from '../support/wait.ts'
import { makeRig, playHub, startWorker, type TestWorker } from '../support/worker.ts'
import { type Delivery, deliveryBy, print, SLICE } from './smtpc-client.ts'

const PATIENCE = { timeout: 120_000 }
type Phase = keyof SmtpcSlice['timeouts']
const PHASES = Object.keys(SLICE.timeouts) as Phase[]
/** Long enough for hosts that only dawdle, on a busy machine. */
const HASTY_MS = 4000
const NEVER_MS = 3_600_000

const rig = makeRig()
/** Who has content to send, by attempt. */
const pumps = new Map<number, (octets: number) => void>()
let qmgr: Peer
let worker: TestWorker
let stop: () => Promise<void>

/** All phases may last as long, but for those named. */
function patient(ms: number, but: Partial<SmtpcSlice['timeouts']> = {}): SmtpcSlice {
  const timeouts = { ...SLICE.timeouts }
  for (const phase of PHASES) timeouts[phase] = but[phase] ?? ms
  return { ...SLICE, timeouts }
}

before(async () => {
  const { hub, joined } = await playHub('qmgr', rig.buses.qmgr, {
    'deliver-dial': () => undefined,
    'content-credit': ({ stream, octets }) => pumps.get(stream)?.(octets),
  })
  worker = await startWorker('smtpc', patient(HASTY_MS), rig)
  qmgr = await joined()
  stop = async () => {
    assert.equal(await worker.drain(), 0, worker.output())
    hub.close()
  }
})
after(async () => {
  await stop()
  rig.close()
})

const LINES = Buffer.alloc(CONTENT_CHUNK, 'such a line\r\n')

/** Content without an end, as fast as it is taken. */
function pump(attempt: number): void {
  const send = () => qmgr.send('content-chunk', { stream: attempt, data: LINES })
  let spare = 0
  pumps.set(attempt, (octets) => {
    for (spare += octets; spare >= CONTENT_CHUNK; spare -= CONTENT_CHUNK) send()
  })
  for (let n = 0; n < 8; n++) send()
}

interface Case extends HostilePlan {
  /** For all recipients, or for each. */
  outcome: string | readonly string[]
  delivery?: Partial<Delivery>
}

const THREE = ['a@x', 'b@x', 'c@x']

async function run(one: Case): Promise<{ outcomes: string[]; text: string; host: HostileHost }> {
  const host = await openHostile(one)
  const delivery = deliveryBy([host.port], THREE, {
    ...(one.stage === 'body' && { content: null, size: 1 << 30 }),
    ...(one.stage === 'quit' && { terms: { group: `at ${host.port}`, most: 1, transactions: 1 } }),
    ...one.delivery,
  })
  const answered = qmgr.request('deliver', delivery)
  if (delivery.content === null) pump(delivery.attempt)
  const answer = await answered
  pumps.delete(delivery.attempt)
  const text = answer.outcomes.find(({ outcome }) => outcome.kind !== 'sent')?.outcome.reply.text ?? ''
  return { outcomes: print(answer), text, host }
}

function nameOf({ stage, does, offers, style, more, deaf }: Case): string {
  const parts = [does, 'at', stage, offers?.join(' '), style, deaf && 'deaf', more && JSON.stringify(more)]
  return parts.filter(Boolean).join(' ')
}

async function judge(one: Case): Promise<string[]> {
  const { outcomes, text, host } = await run(one)
  const wanted = typeof one.outcome === 'string' ? THREE.map(() => one.outcome) : one.outcome
  const told: string[] = []
  const check = (good: boolean, what: string) => {
    if (!good) told.push(`${nameOf(one)}: ${what} (${outcomes.join(', ')}; ${text.slice(0, 200)})`)
  }
  check(outcomes.join() === wanted.join(), `wanted ${wanted.join(', ')}`)
  check(host.strays.length === 0, `${host.strays.join()} inside content`)
  check(host.ended <= 1, `content was given ${host.ended} times`)
  const arrived = outcomes.some((outcome) => outcome.startsWith('sent'))
  check(host.taken === (arrived ? 1 : 0), `taken ${host.taken} times`)
  check(!outcomes.join().includes('in doubt') || host.ended === 1, 'no reason to doubt')
  if (one.stage === 'quit') await until('the end of the session', () => host.sockets.size === 0)
  await host.close()
  return told
}

/** Mail for a good host goes on for as long as `work` takes. */
async function whileOthersAreServed<T>(work: () => Promise<T>): Promise<T> {
  const sink = await openSink()
  let done = false
  let count = 0
  const others = async () => {
    while (!done || count < 10) {
      const answer = await qmgr.request('deliver', deliveryBy([sink.port], ['good@x']))
      assert.deepEqual(print(answer), ['sent 250'], 'another destination')
      count++
    }
  }
  const [result] = await Promise.all([work().finally(() => (done = true)), others()])
  assert.equal(sink.mails.length, count)
  await sink.close()
  return result
}

async function judgeAll(cases: readonly Case[]): Promise<void> {
  const told = await whileOthersAreServed(() => Promise.all(cases.map(judge)))
  assert.deepEqual(told.flat(), [])
}

const GONE = 'later 451 destination'
const DOUBT = `${GONE} in doubt`
const LEAVING = 'later 421 destination'
const SENT = 'sent 250'
/** A host that does not do it right at all; what else it may say is a reply, below. */
const usual: Readonly<Record<HostileStage, string>> = {
  banner: GONE,
  ehlo: GONE,
  starttls: GONE,
  'tls-ehlo': GONE,
  mail: GONE,
  rcpt: GONE,
  data: GONE,
  body: GONE,
  dot: DOUBT,
  quit: SENT,
}
const said: Readonly<Record<HostileStage, Readonly<Record<string, string | readonly string[]>>>> = {
  banner: { '5xx': 'later 554 destination', '421': LEAVING },
  ehlo: { '5xx': 'later 554 destination', '421': LEAVING, '2xx': SENT },
  // what is not 220 is a refusal, and then it goes in clear
  starttls: { '1xx': SENT, '2xx': SENT, '3xx': SENT, '4xx': SENT, '5xx': SENT, garbage: SENT },
  'tls-ehlo': { '5xx': 'later 554 destination', '421': LEAVING, '2xx': SENT },
  mail: { '4xx': 'later 451 message', '5xx': 'never 554', '421': LEAVING, '2xx': SENT },
  rcpt: {
    '4xx': [SENT, 'later 451 recipient', SENT],
    '5xx': [SENT, 'never 554', SENT],
    '421': LEAVING,
    '2xx': SENT,
  },
  data: { '4xx': 'later 451 message', '5xx': 'never 554', '421': LEAVING, '3xx': SENT },
  body: { '4xx': 'later 451 message', '5xx': 'never 554', '421': LEAVING },
  dot: { '4xx': 'later 451 message', '5xx': 'never 554', '421': LEAVING, '2xx': SENT },
  quit: {},
}

for (const pipelining of [true, false]) {
  const with_ = pipelining ? 'with' : 'without'
  test(`every misbehaviour at every stage, ${with_} PIPELINING`, PATIENCE, async () => {
    const cases = STAGES.flatMap((stage) =>
      MISBEHAVIOURS.map((does): Case => {
        const offers = [pipelining && 'PIPELINING', stage.includes('tls') && 'STARTTLS']
        const outcome = said[stage][does] ?? usual[stage]
        return { stage, does, outcome, offers: offers.filter((word) => word !== false) }
      }),
    )
    await judgeAll(cases)
  })
}

test('replies octet by octet, and cut anywhere', PATIENCE, async () => {
  const cases = (['dribbled', 'split'] as const).flatMap((style) =>
    [['PIPELINING'], [], ['PIPELINING', 'STARTTLS']].flatMap((offers) => [
      { stage: 'quit', does: '2xx', style, offers, outcome: SENT } as const,
      { stage: 'rcpt', does: '5xx', style, offers, outcome: [SENT, 'never 554', SENT] } as const,
      { stage: 'dot', does: '4xx', style, offers, outcome: 'later 451 message' } as const,
    ]),
  )
  await judgeAll(cases)
})

test('replies that nobody asked for', PATIENCE, async () => {
  const extra = (stage: HostileStage, outcome: string | string[], text: string, ahead = false): Case => ({
    stage,
    does: 'more',
    outcome,
    more: { text, ahead },
  })
  await judgeAll([
    extra('banner', GONE, '250 and more\r\n'),
    extra('ehlo', GONE, '250 and more\r\n'),
    // one too many shifts all that follow, until a code that cannot be
    extra('mail', GONE, '250 and more\r\n'),
    extra('rcpt', GONE, '250 and more\r\n'),
    extra('rcpt', GONE, '354 go on\r\n', true),
    extra('mail', GONE, '354 go on\r\n', true),
    extra('data', GONE, '250 taken\r\n', true),
    extra('dot', SENT, '250 taken again\r\n'),
    extra('dot', SENT, '421 leaving\r\n'),
    // injected before TLS (RFC 3207 section 6): dropped, or the reply to MAIL would be that to EHLO
    { ...extra('starttls', SENT, '250-x\r\n250 AUTH\r\n'), offers: ['STARTTLS'] },
  ])
})

test('hosts that do not keep what EHLO promised', PATIENCE, async () => {
  await judgeAll([
    { stage: 'quit', does: '2xx', offers: ['PIPELINING'], deaf: true, outcome: GONE },
    { stage: 'mail', does: '5xx', offers: ['SIZE', '8BITMIME', 'SMTPUTF8', 'DSN'], outcome: 'never 554' },
    { stage: 'starttls', does: '5xx', offers: ['STARTTLS', 'STARTTLS'], outcome: SENT },
    // what it says of its limit is believed (RFC 1870 section 6.2), so it is not asked
    { stage: 'mail', does: 'close', offers: ['SIZE 10'], outcome: 'never 552' },
    {
      stage: 'quit',
      does: '2xx',
      offers: ['LIMITS RCPTMAX=0 MAILMAX=-1', 'SIZE=-5', '=', ''],
      outcome: SENT,
    },
  ])
})

test('a certificate for another name', PATIENCE, async () => {
  const stranger = (delivery: Partial<Delivery>, outcome: string): Case => ({
    stage: 'quit',
    does: '2xx',
    offers: ['STARTTLS', 'REQUIRETLS'],
    delivery,
    outcome,
  })
  await judgeAll([
    stranger({}, SENT),
    stranger({ tlsDemand: 'encrypted' }, SENT),
    stranger({ tlsDemand: 'verified' }, 'later 451 message'),
    stranger({ requireTls: true }, 'never 550'),
  ])
})

/** Where a host that hangs there is waited for, and in which words it is told. */
const waits: readonly { stage: HostileStage; phase: Phase; words: string; content?: Buffer }[] = [
  { stage: 'banner', phase: 'greeting', words: 'phase greeting' },
  { stage: 'ehlo', phase: 'helo', words: 'phase helo' },
  { stage: 'starttls', phase: 'helo', words: 'phase helo' },
  { stage: 'tls-ehlo', phase: 'helo', words: 'phase helo' },
  { stage: 'mail', phase: 'mail', words: 'phase mail' },
  { stage: 'rcpt', phase: 'rcpt', words: 'phase rcpt' },
  { stage: 'data', phase: 'dataInitiation', words: 'phase data' },
  { stage: 'body', phase: 'dataBlock', words: 'phase content' },
  // all of it is with the kernel's queue at once, which does not make it the wait for the last reply
  { stage: 'body', phase: 'dataBlock', words: 'phase content', content: Buffer.alloc(12 << 20, LINES) },
  { stage: 'dot', phase: 'dataTermination', words: 'phase dot' },
  { stage: 'quit', phase: 'quit', words: '' },
]

/** Returns when smtpc has it. */
async function reconfigure(slice: SmtpcSlice): Promise<void> {
  worker.send('reconfigure', { epoch: 1, severity: 'info', slice })
  const heard = new Promise((resolve) => worker.child.once('message', resolve))
  worker.send('ping', { n: 1 })
  await heard
}

test('each phase has a time of its own', PATIENCE, async () => {
  const SHORT_MS = 100
  for (const phase of new Set(waits.map((one) => one.phase))) {
    await reconfigure(patient(NEVER_MS, { [phase]: SHORT_MS }))
    const here = waits.filter((one) => one.phase === phase)
    const told = here.map(async ({ stage, words, content }) => {
      const offers = stage.includes('tls') ? ['STARTTLS'] : ['PIPELINING']
      const { outcomes, text, host } = await run({
        stage,
        does: 'hang',
        offers,
        outcome: '',
        ...(content && { delivery: { content } }),
      })
      assert.deepEqual(outcomes, Array(3).fill(usual[stage]), stage)
      assert.ok(text.includes(words), `${stage}: ${text}`)
      // where it does not read it does not see the end either
      if (stage !== 'body') await until(`the end (${stage})`, () => host.sockets.size === 0)
      await host.close()
    })
    await Promise.all(told)
  }
  await reconfigure(patient(HASTY_MS))
})
