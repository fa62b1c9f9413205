/**
 * The process that is traced: the real qmgr, whole, with its thread and its bus, and beside it, in the same
 * process, the smtpd, smtpc and resolver that it works with, played from `scene.ts`. What qmgr promises and what
 * is delivered goes, line by line and at once, to a file on another file system.
 *
 * Ends by SIGKILL to itself after so many promises, or with a drain when everything is done.
 * Usage: `node power-qmgr.js '{...Orders}'`.
 */
import { createHash } from 'node:crypto'
import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { startQmgr } from '../../services/qmgr/qmgr.ts'
import { IdSource } from '../../shared/base/ids.ts'
import { silentLog } from '../../shared/base/log.ts'
import { type Link, openLink } from '../../shared/bus/link.ts'
import { type Answer, CONTENT_CHUNK, type Payload, type Role } from '../../shared/bus/messages.ts'
import type { Handlers } from '../../shared/bus/peer.ts'
import { loadConfigText, printProblems } from '../../shared/config/check.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import type { Route } from '../../shared/message/route.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { until } from '../support/wait.ts'
import { BUILD, playHub } from '../support/worker.ts'
import { orderOf, outcomeFor, recipientsOfReport, type Told } from './scene.ts'

export interface Orders {
  directory: string
  tellsTo: string
  seed: number
  /** Numbers of the messages to submit: from, to below. */
  first: number
  end: number
  submitters: number
  /** Die after so many promises; null: go on until the queue is empty. */
  dieAfter: number | null
}

/** Content above this is streamed, as smtpd does it. */
const INLINE_LIMIT = 128 << 10
const orders = JSON.parse(process.argv[2] ?? '{}') as Orders
const buses = { qmgr: join(orders.directory, 'qmgr.sock'), resolver: join(orders.directory, 'resolver.sock') }
const ledger = openSync(orders.tellsTo, 'a')
const route: Route = {
  kind: 'smtp',
  zone: '.',
  destination: 'far.example',
  protocol: 'smtp',
  hosts: [{ name: 'far.example', addresses: ['127.0.0.1'], port: 25, preference: 0 }],
}
let promises = 0

function tell(told: Told): void {
  writeSync(ledger, `${JSON.stringify(told)}\n`)
  if (told.kind === 'accepted' && ++promises === orders.dieAfter) process.kill(process.pid, 'SIGKILL')
}

const identityOf = (role: Role) => ({ role, name: `${role}-1`, pid: process.pid, build: BUILD, epoch: 1 })

function joinAs(role: Role, handlers: Handlers): Link {
  const common: Handlers = { load: () => undefined, 'content-credit': () => undefined }
  return openLink({
    target: buses.qmgr,
    remote: 'qmgr',
    identity: () => identityOf(role),
    handlers: { ...common, ...handlers },
    log: silentLog,
  })
}

/** smtpc: takes everything to its end, and tells before it answers. */
class Carrier {
  readonly #attempts = new Map<string, number>()
  readonly #streams = new Map<number, () => void>()

  readonly handlers: Handlers = {
    deliver: (payload) => this.#deliver(payload),
    'content-chunk': ({ stream, data, last }, peer) => {
      peer.send('content-credit', { stream, octets: data.length })
      if (last) this.#streams.get(stream)?.()
    },
    'deliver-cancel': () => undefined,
  }

  async #deliver(payload: Payload<'deliver'>): Promise<Answer<'deliver'>> {
    const { attempt, content, message, recipients, sender } = payload
    if (content === null) await new Promise<void>((whole) => this.#streams.set(attempt, whole))
    this.#streams.delete(attempt)
    if (sender === '') tell({ kind: 'reported', recipients: recipientsOfReport(content ?? new Uint8Array()) })
    const outcomes = recipients.map(({ n, address }) => {
      const tries = (this.#attempts.get(address) ?? 0) + 1
      this.#attempts.set(address, tries)
      return { n, outcome: outcomeFor(address, tries) }
    })
    for (const { n, outcome } of outcomes)
      if (outcome.kind !== 'later') tell({ kind: 'settled', id: message, n })
    return { outcomes, host: 'far.example', address: '127.0.0.1', tls: '' }
  }
}

async function submit(smtpd: Link, id: number, n: number): Promise<void> {
  const { octets, recipients } = orderOf(orders.seed, n)
  const content = Buffer.from(makeSpecimen(octets, `specimen-${n}`).content)
  const streamed = content.length > INLINE_LIMIT
  for (let at = 0; streamed && at < content.length; at += CONTENT_CHUNK) {
    const data = content.subarray(at, at + CONTENT_CHUNK)
    const last = at + data.length === content.length
    smtpd.send('content-chunk', { stream: id, data, ...(last && { last }) })
  }
  const answer = await smtpd.request('submit', {
    envelope: {
      id,
      sender: 'writer@near.example',
      recipients: recipients.map((address) => ({ address, route })),
      size: content.length,
      body: '7bit',
      smtputf8: false,
      receivedAt: Date.now(),
      origin: { listener: 'mx', session: 'S1', client: '127.0.0.1' },
    },
    content: streamed ? null : content,
  })
  if (answer.kind !== 'accepted') throw new Error(`message ${n}: ${answer.reply.text}`)
  const sha256 = createHash('sha256').update(content).digest('hex')
  tell({ kind: 'accepted', id, sha256, recipients })
}

/** As shipped, but for haste and little room: some mail goes straight to the deferred tables. */
function sliceFor(directory: string): QmgrSlice {
  const text = 'listener "mx" { port 0; }; zone "." { type remote; };'
  const checked = loadConfigText(text, 'posthorn.conf', { asCaller: true, directory })
  if (checked.kind === 'bad') throw new Error(printProblems(checked.problems))
  return {
    ...checked.slices.qmgr,
    spool: join(directory, 'spool'),
    activeEntries: 12,
    retry: [20, 40],
    initialConcurrency: 4,
    recipientsPerTransaction: 2,
    minFreeSpace: 0,
  }
}

async function main(): Promise<void> {
  const resolver = await playHub('resolver', buses.resolver, {
    resolve: ({ address }) => ({ kind: 'found', class: 'remote', zone: '.', targets: [{ address, route }] }),
  })
  const qmgr = await startQmgr({
    name: 'qmgr',
    slice: sliceFor(orders.directory),
    log: silentLog,
    build: BUILD,
    epoch: () => 1,
    identity: () => identityOf('qmgr'),
    descriptor: () => undefined,
    buses,
    tellMcp: () => undefined,
    onLda: () => undefined,
    onLags: () => undefined,
    onValidator: () => undefined,
  })
  const smtpd = joinAs('smtpd', {})
  const smtpc = joinAs('smtpc', new Carrier().handlers)
  const { serial } = await smtpd.ready()
  const ids = new IdSource(serial)
  let next = orders.first
  const run = async () => {
    while (next < orders.end) await submit(smtpd, ids.next(), next++)
  }
  await Promise.all(Array.from({ length: orders.submitters }, run))
  const empty = () => {
    const { active = 1, running = 1 } = qmgr.figures?.() ?? {}
    return active === 0 && running === 0
  }
  await until('an idle queue', empty)
  smtpd.close()
  await qmgr.drain()
  smtpc.close()
  resolver.hub.close()
}

await main()
process.exit(0) // as a worker does after its drain
