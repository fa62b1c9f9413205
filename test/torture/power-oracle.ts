/**
 * Opens a spool as it was found after a power cut, the way qmgr does at start, and compares it with what the
 * world had been told by then. Lost: an acknowledged recipient that nothing would deliver to any more, though
 * nobody ever took the message. Corrupted: content that is not what came in. Double-bounced: a recipient that
 * would be tried again though a report of its failure is out or in the queue.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeEnvelope } from '../../services/qmgr/envelope-codec.ts'
import { SqliteStore } from '../../services/qmgr/sqlite-store.ts'
import type { StoredMessage } from '../../services/qmgr/store.ts'
import { recipientsOfReport, type Told } from './scene.ts'

export interface Findings {
  lost: string[]
  corrupted: string[]
  doubleBounced: string[]
}

interface Found {
  message: StoredMessage
  recipients: string[]
  isReport: boolean
  /** Numbers of recipients that would be tried. */
  open: Set<number>
}

export function inspect(spool: string, told: readonly Told[]): Findings {
  const findings: Findings = { lost: [], corrupted: [], doubleBounced: [] }
  let store: SqliteStore
  try {
    store = new SqliteStore(spool)
  } catch (error) {
    return { ...findings, corrupted: [`the store cannot be opened: ${error}`] }
  }
  try {
    const found = readQueue(store)
    findLosses(spool, found, told, findings)
    findDoubleBounces(found, told, findings)
    store.apply({ inserts: [{ id: 1, envelope: Buffer.from('e'), content: Buffer.from('c') }], changes: [] })
  } catch (error) {
    findings.corrupted.push(`the store cannot be used: ${error}`)
  } finally {
    store.close()
  }
  return findings
}

function readQueue(store: SqliteStore): Map<number, Found> {
  const found = new Map<number, Found>()
  const put = (message: StoredMessage, isOpen: (n: number) => boolean) => {
    const { recipients, sender } = decodeEnvelope(message.envelope)
    const addresses = recipients.map(({ address }) => address)
    const open = new Set([...addresses.keys()].filter(isOpen))
    found.set(message.id, { message, recipients: addresses, isReport: sender === '', open })
  }
  for (const message of store.recover()) {
    const waiting = new Set(store.rows(message.id).map((row) => row.n))
    const done = new Set(message.done)
    put(message, (n) => waiting.has(n) || !done.has(n))
  }
  const rows = store.list({}, null, Number.MAX_SAFE_INTEGER).rows
  for (const id of new Set(rows.map((row) => row.message))) {
    const message = found.has(id) ? null : store.load(id)
    const waiting = new Set(rows.filter((row) => row.message === id).map((row) => row.n))
    if (message) put(message, (n) => waiting.has(n))
  }
  return found
}

function findLosses(
  spool: string,
  found: Map<number, Found>,
  told: readonly Told[],
  findings: Findings,
): void {
  const settled = new Set(told.flatMap((one) => (one.kind === 'settled' ? [`${one.id} ${one.n}`] : [])))
  for (const one of told) {
    if (one.kind !== 'accepted') continue
    const here = found.get(one.id)
    const owed = [...one.recipients.keys()].filter((n) => !settled.has(`${one.id} ${n}`))
    findings.lost.push(
      ...owed.filter((n) => !here?.open.has(n)).map((n) => one.recipients[n] ?? `${one.id} ${n}`),
    )
    if (here && owed.length > 0 && hashOf(spool, here.message) !== one.sha256)
      findings.corrupted.push(`content of ${one.recipients[0]}`)
  }
}

function hashOf(spool: string, { id, content }: StoredMessage): string {
  try {
    const bytes = content ?? readFileSync(join(spool, 'content', id.toString(36)))
    return createHash('sha256').update(bytes).digest('hex')
  } catch (error) {
    return String(error)
  }
}

function findDoubleBounces(found: Map<number, Found>, told: readonly Told[], findings: Findings): void {
  const queued = [...found.values()].flatMap(({ isReport, message: { content } }) =>
    isReport && content ? recipientsOfReport(content) : [],
  )
  const out = told.flatMap((one) => (one.kind === 'reported' ? one.recipients : []))
  const reported = new Set([...queued, ...out])
  for (const { open, recipients } of found.values()) {
    const again = recipients.filter((address, n) => open.has(n) && reported.has(address))
    findings.doubleBounced.push(...again)
  }
  findings.doubleBounced.push(...queued.filter((address, at) => queued.indexOf(address) !== at))
}
