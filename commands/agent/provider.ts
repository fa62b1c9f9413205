/**
 * One message to one provider: connect, log in, one transaction, QUIT. The shell around `shared/smtp-client`.
 *
 * Gives one outcome for each recipient and never rejects: whatever goes wrong before MAIL is `later` and ours, since
 * a password that has changed or a network that is away can be put right; what the provider says of the message or
 * a recipient is its word.
 */
import { createReadStream } from 'node:fs'
import type { Socket } from 'node:net'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import { DotStuffer } from '../../shared/smtp/dot-stuffer.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { GARBAGE, ReplyReader } from '../../shared/smtp/reply-reader.ts'
import { type Delivery, own } from '../../shared/smtp-client/commands.ts'
import {
  advance,
  begin,
  type Effect,
  type Transaction,
  type TransactionEvent,
} from '../../shared/smtp-client/transaction.ts'
import type { Account } from '../accounts/account.ts'
import { dial } from './dial.ts'
import { LoginRefused, logIn, type Ready } from './login.ts'
import { fetchSecret } from './secret.ts'

/** Content on disk, as it is to be sent. */
export interface ContentFile {
  path: string
  size: number
}

export async function sendMessage(
  account: Account,
  delivery: Delivery,
  content: ContentFile,
): Promise<Outcome[]> {
  const all = (outcome: Outcome) => delivery.recipients.map(() => outcome)
  const session = await openSession(account).catch((error: unknown) => error)
  if (!isReady(session)) return all({ kind: 'later', reply: replyOf(session, account), blame: 'ours' })
  const { sizeLimit } = session
  if (sizeLimit > 0 && content.size > sizeLimit) {
    session.socket.end('QUIT\r\n')
    return all({
      kind: 'never',
      reply: own(552, '5.3.4', `${account.host} takes ${sizeLimit} octets at most`),
    })
  }
  return new ProviderSession(session, account, content).run(delivery)
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

class ProviderSession {
  readonly #socket: Socket
  readonly #ready: Ready
  readonly #account: Account
  readonly #content: ContentFile
  readonly #replies = new ReplyReader()
  #transaction: Transaction | null = null
  #timer: NodeJS.Timeout | null = null
  #settled: (outcomes: Outcome[]) => void = () => undefined

  constructor(ready: Ready, account: Account, content: ContentFile) {
    this.#ready = ready
    this.#socket = ready.socket
    this.#account = account
    this.#content = content
  }

  run(delivery: Delivery): Promise<Outcome[]> {
    const { host, protocol } = this.#account
    const outcomes = new Promise<Outcome[]>((resolve) => {
      this.#settled = resolve
    })
    this.#socket.on('data', (chunk: Buffer) => this.#replies.push(chunk, (reply) => this.#heard(reply)))
    this.#socket.on('error', () => undefined) // 'close' follows
    this.#socket.on('close', () => this.#lost('the connection was lost'))
    this.#socket.resume()
    const { transaction, effects } = begin(
      delivery,
      this.#ready.offers,
      protocol === 'lmtp',
      Date.now(),
      true,
    )
    this.#transaction = transaction
    this.#carryOut(effects)
    if (this.#socket.destroyed) this.#lost(`the connection to ${host} was lost`)
    return outcomes
  }

  #heard(reply: SmtpReply | typeof GARBAGE): void {
    if (reply === GARBAGE) return this.#lost('what answers does not speak SMTP')
    this.#step({ kind: 'reply', reply: { ...reply, host: this.#account.host } })
  }

  #lost(text: string): void {
    const { host } = this.#account
    this.#step({ kind: 'lost', reply: own(451, '4.4.2', `${host}: ${text}`), blame: 'destination' })
  }

  #step(event: TransactionEvent): void {
    const transaction = this.#transaction
    if (transaction && transaction.state.phase !== 'over') this.#carryOut(advance(transaction, event))
  }

  #carryOut(effects: readonly Effect[]): void {
    this.#arm()
    for (const effect of effects) {
      if (effect.kind === 'write') this.#socket.write(effect.text)
      else if (effect.kind === 'content') void this.#sendContent()
      else if (effect.kind === 'settle') this.#settled(effect.outcomes)
      else this.#leave(effect.kind)
    }
  }

  async #sendContent(): Promise<void> {
    const dots = new DotStuffer()
    const inContent = () => this.#transaction?.state.phase === 'content'
    try {
      for await (const piece of createReadStream(this.#content.path)) {
        if (!inContent()) return
        this.#arm()
        if (!this.#socket.write(dots.push(piece as Buffer))) await this.#drained()
      }
    } catch (error) {
      // without the dot nothing was delivered
      return this.#lost(`the message cannot be read: ${String(error)}`)
    }
    if (!inContent()) return
    this.#step({ kind: 'handed' })
    this.#socket.write(dots.end(), (error) => {
      if (!error) this.#step({ kind: 'flushed' })
    })
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.once('drain', resolve)
      this.#socket.once('close', () => resolve())
    })
  }

  #leave(how: 'free' | 'close'): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    if (how === 'close') this.#socket.destroy()
    else this.#socket.end('QUIT\r\n', () => this.#socket.destroySoon())
  }

  /** RFC 5321 section 4.5.3.2 asks for more patience after the dot. */
  #arm(): void {
    if (this.#timer) clearTimeout(this.#timer)
    if (this.#transaction?.state.phase === 'over') return
    const { timeout } = this.#account
    const patience = this.#transaction?.state.phase === 'dot' ? 2 * timeout : timeout
    this.#timer = setTimeout(() => this.#lost('no answer in time'), patience)
  }
}
