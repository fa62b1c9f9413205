/**
 * One message to one provider: connect, log in, one transaction, QUIT.
 *
 * Gives one outcome for each recipient and never rejects: whatever goes wrong before MAIL is `later` and ours, since
 * a password that has changed or a network that is away can be put right; what the provider says of the message or
 * a recipient is its word.
 */
import { createReadStream } from 'node:fs'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import { type Delivery, own } from '../../shared/smtp-client/commands.ts'
import { exchange } from '../../shared/smtp-client/exchange.ts'
import type { Account } from '../accounts/account.ts'
import { dial } from './dial.ts'
import { LoginRefused, logIn, type Ready } from './login.ts'
import { fetchSecret } from './secret.ts'

/** Content on disk, as it is to be sent. */
export interface ContentFile {
  path: string
  size: number
}

export interface Attempt {
  /** The provider was reached and let us in; false: no other message would fare better now. */
  reached: boolean
  outcomes: Outcome[]
}

export async function sendMessage(
  account: Account,
  delivery: Delivery,
  content: ContentFile,
): Promise<Attempt> {
  const session = await openSession(account).catch((error: unknown) => error)
  if (isReady(session))
    return { reached: true, outcomes: await transact(account, session, delivery, content) }
  const outcome: Outcome = { kind: 'later', reply: replyOf(session, account), blame: 'ours' }
  return { reached: false, outcomes: delivery.recipients.map(() => outcome) }
}

function transact(
  account: Account,
  session: Ready,
  delivery: Delivery,
  content: ContentFile,
): Promise<Outcome[]> {
  const { sizeLimit } = session
  if (sizeLimit > 0 && content.size > sizeLimit) {
    session.socket.end('QUIT\r\n')
    const reply = own(552, '5.3.4', `${account.host} takes ${sizeLimit} octets at most`)
    return Promise.resolve(delivery.recipients.map((): Outcome => ({ kind: 'never', reply })))
  }
  const { host, protocol, timeout } = account
  return exchange(
    {
      ...{ socket: session.socket, offers: session.offers, host, lmtp: protocol === 'lmtp', together: true },
      ...{ timeout, dotTimeout: 2 * timeout, content: () => createReadStream(content.path) },
    },
    delivery,
  )
}

/** Connects and logs in, and leaves again; rejects with the reason. */
export async function tryAccount(account: Account): Promise<void> {
  const { socket } = await openSession(account)
  socket.end('QUIT\r\n')
}

async function openSession(account: Account): Promise<Ready> {
  const socket = await dial(account)
  try {
    return await logIn(socket, account, (kind) => fetchSecret(account, kind))
  } catch (error) {
    socket.destroy()
    throw error
  }
}

function isReady(session: unknown): session is Ready {
  return !(session instanceof Error) && typeof session === 'object' && session !== null
}

/** What stood in the way, for the user to read; always one of "later", since an account can be put right. */
export function replyOf(error: unknown, account: Account): Reply {
  if (error instanceof LoginRefused) {
    const { code, enhanced, text, host } = error.reply
    if (code < 500) return error.reply
    return { code: 454, enhanced: '4.7.0', text: `${code} ${enhanced} ${text}`.replace('  ', ' '), host }
  }
  const text = error instanceof Error ? error.message : String(error)
  return own(451, '4.4.1', `${account.host}: ${text.split('\n', 1)[0] ?? ''}`)
}
