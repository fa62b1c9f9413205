/**
 * Tells the user about mail that failed for good, by this machine's mail server where there is one. Where there is none,
 * or it does not take the report, `mailq` shows what failed and `sendmail` on a terminal says so (`sendmail/told.ts`).
 *
 * Never rejects: the message is in the outbox, marked as failed, before anybody is told.
 */
import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { hostname, userInfo } from 'node:os'
import type { Job } from '../sendmail/conversation.ts'
import { handOver } from '../sendmail/session.ts'
import { DEFAULT_SOCKET } from '../sendmail/way.ts'
import { type Failure, renderReport, wantsReport } from './notice.ts'
import type { Outbox, OutboxMessage } from './outbox.ts'

const MOST_HEADER = 64 * 1024
/** Seconds: a server that is being restarted is waited for. */
const RETRY_WINDOW = 10

/** Gives what became of it, for the log. */
export async function tellUser(
  outbox: Outbox,
  message: OutboxMessage,
  all: readonly Failure[],
): Promise<string> {
  const failures = all.filter((failure) => wantsReport(message, failure))
  if (failures.length === 0) return ''
  try {
    const { username: user } = userInfo()
    const header = await readHeader(outbox.contentOf(message).path)
    const boundary = `posthorn-${randomBytes(12).toString('hex')}`
    const facts = { message, failures, header, user, host: hostname(), now: new Date(), boundary }
    const octets = Buffer.from(renderReport(facts))
    const path = process.env['POSTHORN_SOCKET'] || DEFAULT_SOCKET
    if (!statSync(path, { throwIfNoEntry: false })?.isSocket()) return 'nobody was told: no mail server here'
    const way = { path, uid: process.getuid?.() ?? 0, retryWindow: RETRY_WINDOW, patience: null }
    const verdict = await handOver(way, jobFor(user, octets.length), () => once(octets))
    return verdict.exit === 0 ? `${user} was told by mail` : `nobody was told: ${verdict.lines.join('; ')}`
  } catch (error) {
    return `nobody was told: ${String(error)}`
  }
}

async function* once(octets: Buffer): AsyncGenerator<Buffer, void> {
  yield octets
}

async function readHeader(path: string): Promise<string> {
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MOST_HEADER), 0, MOST_HEADER, 0)
    const text = buffer.toString('latin1', 0, bytesRead)
    const end = text.indexOf('\r\n\r\n')
    return end < 0 ? '' : text.slice(0, end + 2)
  } finally {
    await file.close()
  }
}

/** RFC 3464 section 2: a report has the null reverse-path. */
function jobFor(user: string, size: number): Job {
  return {
    ...{ hello: 'localhost', sender: '', recipients: [user], header: null, size, eightBit: true },
    ...{ body: null, notify: null, ret: null, envid: null, verify: false, why: null, wait: null },
    ...{ lmtp: false, account: null, asIs: false, tlsDemand: null, authorName: null },
  }
}
