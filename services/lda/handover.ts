/**
 * Hands mail to the agent of our user, by LMTP, so that each recipient has an outcome of its own.
 *
 * The credentials of the user's providers stay with the agent; all that leaves here is the message, and all that comes
 * back is what became of it. There is no agent, or it has no account for the message: the answer says so, nothing was
 * handed over, and qmgr sends it the usual way. Anything else that goes wrong is `later`.
 *
 * A sender that this machine made up (`login@qualify-domain`) is handed on without its domain, as `sendmail` does
 * when it goes to the agent directly: so the account's own `sender` takes its place.
 */
import type { Socket } from 'node:net'
import { formatId } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { Outcome } from '../../shared/message/outcome.ts'
import { saysNoAccount } from '../../shared/smtp-client/agent.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import { Dialogue } from '../../shared/smtp-client/dialogue.ts'
import { exchange } from '../../shared/smtp-client/exchange.ts'
import { type Offers, readOffers } from '../../shared/smtp-client/offers.ts'
import { oursOutcome } from './failure.ts'
import { InHand } from './in-hand.ts'
import { Pieces } from './pieces.ts'

type Deliver = Payload<'deliver'>
type Delivered = Answer<'deliver'>

export interface HandoverOptions {
  uid: number
  /** The user's name, and what it was completed with. */
  login: string
  qualifyDomain: string
  log: Log
  now: () => number
  dial: () => Promise<Socket | 'absent'>
  /** How far an attempt is; see `deliver-dial`. */
  progress: (attempt: number, begun: boolean) => void
  credit: (stream: number, octets: number) => void
}

const TIMEOUT_MS = 60_000
/** The agent asks its user, one question after the other, and then its provider; when it dies the socket says so. */
const DOT_TIMEOUT_MS = 30 * 60_000
const HOST = 'agent'

export class Handover {
  readonly inHand: InHand
  readonly #options: HandoverOptions
  readonly #pieces = new Map<number, Pieces>()
  #handed = 0

  constructor(options: HandoverOptions) {
    this.#options = options
    this.inHand = new InHand(options.now)
  }

  figures(): Record<string, number> {
    return { inHand: this.inHand.count, handed: this.#handed }
  }

  /** Runs to its first wait at once: pieces of content may come right behind the request. */
  deliver(request: Deliver): Promise<Delivered> {
    return this.inHand.run(() => this.#attempt(request))
  }

  piece({ stream, data, last }: Payload<'content-chunk'>): void {
    this.#pieces.get(stream)?.push(data, last ?? false)
  }

  cancel(attempt: number): void {
    this.#pieces.get(attempt)?.off()
  }

  cancelAll(): void {
    for (const pieces of this.#pieces.values()) pieces.off()
  }

  async #attempt(request: Deliver): Promise<Delivered> {
    const { attempt, content, route } = request
    const { uid, log } = this.#options
    if (route.kind !== 'agent' || route.uid !== uid) {
      log.error({ ...idsOf(request), route, uid }, 'mail for the agent of another user refused')
      return answer(request, () => oursOutcome('the message came to a process of another user'))
    }
    const pieces = new Pieces((octets) => this.#options.credit(attempt, octets))
    if (!content) this.#pieces.set(attempt, pieces)
    try {
      return await this.#hand(request, content ? () => whole(content) : () => pieces.read())
    } catch (error) {
      log.warn({ ...idsOf(request), err: error }, 'the agent cannot be spoken to')
      const reply = own(451, '4.3.2', error instanceof Error ? error.message : String(error))
      // not the destination's: what is dead is probed seldom, and an agent comes back when its user does
      return answer(request, () => ({ kind: 'later', blame: 'recipient', reply }))
    } finally {
      this.#pieces.delete(attempt)
      pieces.off()
    }
  }

  async #hand(request: Deliver, content: () => AsyncIterable<Uint8Array>): Promise<Delivered> {
    const { attempt } = request
    this.#options.progress(attempt, false)
    const socket = await this.#options.dial()
    if (socket === 'absent') return this.#declined(request, socket)
    const offers = await greet(socket).catch((error: unknown) => {
      socket.destroy()
      throw error
    })
    this.#options.progress(attempt, true)
    const times = { timeout: TIMEOUT_MS, dotTimeout: DOT_TIMEOUT_MS }
    const session = { socket, offers, host: HOST, lmtp: true, together: false, ...times, content }
    const outcomes = await exchange(session, { ...request, sender: this.#senderOf(request) })
    if (outcomes.length > 0 && outcomes.every(({ reply }) => saysNoAccount(reply)))
      return this.#declined(request, 'not-mine')
    return this.#handedOver(request, outcomes)
  }

  #declined(request: Deliver, declined: 'absent' | 'not-mine'): Delivered {
    this.#options.log.info({ ...idsOf(request), declined }, 'not by an agent')
    return { outcomes: [], declined, host: '', address: '', tls: '' }
  }

  #handedOver(request: Deliver, outcomes: readonly Outcome[]): Delivered {
    this.#handed++
    const said = outcomes.map(({ kind, reply }) => `${kind} ${reply.code} ${reply.text}`)
    this.#options.log.info({ ...idsOf(request), said: said.slice(0, 20) }, 'handed to the agent')
    return answer(request, (at) => outcomes[at] ?? oursOutcome('no outcome'))
  }

  #senderOf({ sender }: Deliver): string {
    const { login, qualifyDomain } = this.#options
    return sender.toLowerCase() === `${login}@${qualifyDomain}`.toLowerCase() ? login : sender
  }
}

async function greet(socket: Socket): Promise<Offers> {
  const dialogue = new Dialogue(socket, TIMEOUT_MS)
  const greeting = await dialogue.answer()
  if (greeting.code !== 220) throw new Error(`the agent says ${greeting.code} ${greeting.text}`)
  const hello = await dialogue.ask('LHLO localhost')
  if (hello.code !== 250) throw new Error(`the agent says ${hello.code} ${hello.text}`)
  dialogue.release()
  return readOffers(hello.text.split('\n').slice(1))
}

async function* whole(content: Uint8Array): AsyncIterable<Uint8Array> {
  yield content
}

function answer(request: Deliver, outcomeOf: (at: number) => Outcome): Delivered {
  const outcomes = request.recipients.map(({ n }, at) => ({ n, outcome: outcomeOf(at) }))
  return { outcomes, host: HOST, address: '', tls: '' }
}

function idsOf(request: Deliver): { attempt: string; message: string } {
  return { attempt: formatId('A', request.attempt), message: formatId('T', request.message) }
}
