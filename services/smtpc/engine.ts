/**
 * The insides of nodemailer's SMTPConnection that `dial.ts` holds on to, and how a socket is taken out of its hands.
 * Pinned exactly; a test checks that the pinned version has them.
 */
import type { Socket } from 'node:net'
import type SMTPConnection from 'nodemailer/lib/smtp-connection'
import type { Reply } from '../../shared/message/outcome.ts'
import { GARBAGE, ReplyReader } from '../../shared/smtp/reply-reader.ts'

/** What nodemailer 10.6.0 keeps to itself and we need; pinned exactly, checked by a test. */
export interface EngineInside {
  _socket: Socket | false
  _remainder: string
  _responseQueue: string[]
  _ehloLines?: string[]
  _onSocketData: (chunk: Buffer) => void
  _onSocketError: (error: Error) => void
  _onSocketClose: () => void
  _onSocketEnd: () => void
  _onSocketTimeout: () => void
  _actionGreeting: (text: string) => void
  _upgradeConnection: (callback: (error: Error | null, secured?: boolean) => void) => void
  on: SMTPConnection['on']
  close: () => void
  connect: () => void
  upgrading?: boolean | undefined
}

/** The engine must never be the first to lose patience: `Dial` is. */
export const ENGINE_PATIENCE_MS = 2 ** 31 - 1

/** A reply that is there as one text, as nodemailer reports it; null when it is none. */
export function parseReply(text: string, host: string): Reply | null {
  let found: Reply | null = null
  new ReplyReader().push(Buffer.from(`${text.replace(/\r?\n$/, '')}\n`), (reply) => {
    if (reply !== GARBAGE) found = { ...reply, host }
  })
  return found
}

export function detach(engine: EngineInside, socket: Socket): void {
  socket.removeListener('data', engine._onSocketData)
  socket.removeListener('timeout', engine._onSocketTimeout)
  socket.removeListener('close', engine._onSocketClose)
  socket.removeListener('end', engine._onSocketEnd)
  socket.setTimeout(0)
  socket.removeListener('error', engine._onSocketError)
}
