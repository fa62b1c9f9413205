/**
 * SASL mechanisms from the client's side, for AUTH (RFC 4954): octets in, octets out; and the dialogue by which they travel.
 *
 * `first` goes with the command where the mechanism speaks first; `next` answers a challenge, and rejects with
 * `SaslFailure` when the server talks nonsense or cannot prove that it knows the password. `proved` must be true when
 * the server says that all is well: SCRAM without the server's signature is no success (RFC 5802 section 3).
 */
import { randomBytes } from 'node:crypto'
import type { SmtpReply } from '../smtp/reply.ts'
import {
  authMessage,
  clientProof,
  deriveKeys,
  encodeName,
  parseServerFirst,
  serverSignature,
} from '../smtp/scram.ts'
import type { Dialogue } from './dialogue.ts'

export type SaslMechanism =
  | 'plain'
  | 'login'
  | 'xoauth2'
  | 'oauthbearer'
  | 'scram-sha-256'
  | 'scram-sha-256-plus'

export class SaslFailure extends Error {
  override name = 'SaslFailure'
}

/** What TLS gives to bind to: RFC 9266 for TLS 1.3, RFC 5929 section 3 before. */
export interface ChannelBinding {
  name: 'tls-exporter' | 'tls-unique'
  data: Buffer
}

export interface Credentials {
  user: string
  /** The password, or the token for OAuth. */
  secret: string
  host: string
  port: number
  binding: ChannelBinding | null
  /** The server offers SCRAM-SHA-256-PLUS. */
  bindingOffered: boolean
}

export interface Exchange {
  /** Null: the server speaks first. */
  first: Buffer | null
  next: (challenge: Buffer) => Promise<Buffer>
  proved: () => boolean
}

export function startExchange(mechanism: SaslMechanism, credentials: Credentials): Exchange {
  switch (mechanism) {
    case 'plain':
      return oneMessage(`\0${credentials.user}\0${credentials.secret}`) // RFC 4616
    case 'login':
      return loginExchange(credentials)
    case 'xoauth2':
      return oneMessage(`user=${credentials.user}\x01auth=Bearer ${credentials.secret}\x01\x01`, '')
    case 'oauthbearer':
      return oneMessage(bearer(credentials), '\x01') // RFC 7628 section 3.2.3: an error is acknowledged
    case 'scram-sha-256':
      return scramExchange(credentials, null)
    case 'scram-sha-256-plus':
      return scramExchange(credentials, credentials.binding)
  }
}

/** RFC 7628 section 3.1. */
function bearer({ user, secret, host, port }: Credentials): string {
  const name = encodeName(user)
  return `n,a=${name},\x01host=${host}\x01port=${port}\x01auth=Bearer ${secret}\x01\x01`
}

/** @param acknowledgement answers the challenge that only comes with an error; null: there must be none. */
function oneMessage(text: string, acknowledgement: string | null = null): Exchange {
  return {
    first: Buffer.from(text),
    next: async () => {
      if (acknowledgement === null) throw new SaslFailure('the server asks for more than there is')
      return Buffer.from(acknowledgement)
    },
    proved: () => true,
  }
}

/** No RFC describes it; the server asks twice, in words of its own. */
function loginExchange({ user, secret }: Credentials): Exchange {
  const answers = [user, secret]
  return {
    first: null,
    next: async () => {
      const answer = answers.shift()
      if (answer === undefined) throw new SaslFailure('the server asks for more than name and password')
      return Buffer.from(answer)
    },
    proved: () => true,
  }
}

const NONCE_OCTETS = 18

/** RFC 5802 section 6: `y` tells a server that does offer binding that somebody in between took the offer away. */
function scramExchange(credentials: Credentials, binding: ChannelBinding | null): Exchange {
  const { user, secret } = credentials
  const couldBind = credentials.binding !== null && !credentials.bindingOffered
  const header = binding ? `p=${binding.name},,` : couldBind ? 'y,,' : 'n,,'
  const nonce = randomBytes(NONCE_OCTETS).toString('base64')
  const bare = `n=${encodeName(user)},r=${nonce}`
  let signature: Buffer | null = null
  let proved = false
  return {
    first: Buffer.from(header + bare),
    next: async (challenge) => {
      const text = challenge.toString('utf8')
      if (signature) {
        proved = text === `v=${signature.toString('base64')}`
        if (!proved) throw new SaslFailure('the server cannot prove that it knows the password')
        return Buffer.alloc(0)
      }
      const server = parseServerFirst(text)
      if (!server?.nonce.startsWith(nonce) || server.nonce === nonce)
        throw new SaslFailure('the challenge is not an answer to ours')
      const keys = await deriveKeys(secret, server.salt, server.iterations)
      const bound = Buffer.concat([Buffer.from(header), binding?.data ?? Buffer.alloc(0)])
      const final = `c=${bound.toString('base64')},r=${server.nonce}`
      const message = authMessage(bare, text, final)
      signature = serverSignature(keys, message)
      return Buffer.from(`${final},p=${clientProof(keys, message).toString('base64')}`)
    },
    proved: () => proved,
  }
}

/** RFC 4954 section 3: keywords behind AUTH; `AUTH=` is an old misspelling that still goes around. */
export function offeredMechanisms(words: readonly string[]): string[] {
  const lines = words.filter((word) => /^AUTH[ =]/i.test(word))
  return lines.flatMap((line) => line.slice('AUTH '.length).trim().toLowerCase().split(/[ =]+/))
}

/**
 * The whole of AUTH. @returns the server's last word, which is 235 where all is well.
 * @throws SaslFailure, DialogueTrouble
 */
export async function speakSasl(
  dialogue: Dialogue,
  mechanism: SaslMechanism,
  credentials: Credentials,
): Promise<SmtpReply> {
  const { first, next, proved } = startExchange(mechanism, credentials)
  const command = `AUTH ${mechanism.toUpperCase()}`
  const initial = first === null ? '' : ` ${first.length === 0 ? '=' : first.toString('base64')}`
  // RFC 4954 section 4: a command line is at most 12288 octets here; longer ones wait for the challenge
  const glued = command.length + initial.length <= 500
  let reply = await dialogue.ask(glued ? command + initial : command)
  if (!glued && reply.code === 334 && first !== null) reply = await dialogue.ask(first.toString('base64'))
  while (reply.code === 334) {
    const challenge = Buffer.from(reply.text.trim(), 'base64')
    const answer = await next(challenge).catch((error: unknown) => cancel(dialogue, error))
    reply = await dialogue.ask(answer.toString('base64'))
  }
  if (reply.code === 235 && !proved())
    throw new SaslFailure('the server did not prove that it knows the password')
  return reply
}

/** RFC 4954 section 4: `*` takes an AUTH back. */
async function cancel(dialogue: Dialogue, error: unknown): Promise<never> {
  await dialogue.ask('*').catch(() => undefined)
  throw error
}
