/**
 * From a connection to a session that takes mail: greeting, EHLO or LHLO, STARTTLS where it is due, AUTH.
 *
 * The account decides and the server only offers: no STARTTLS is the end, never a session in the clear (RFC 8314
 * section 5); a password goes out only over TLS, or to this machine where the account says `tls none`.
 * Fails: `LoginRefused` with the server's reply, or one of our own; `DialogueTrouble`, `SaslFailure`.
 */
import type { Socket } from 'node:net'
import type { Reply } from '../../shared/message/outcome.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import { Dialogue, DialogueTrouble } from '../../shared/smtp-client/dialogue.ts'
import { type Offers, readOffers } from '../../shared/smtp-client/offers.ts'
import { offeredMechanisms, speakSasl } from '../../shared/smtp-client/sasl.ts'
import type { Account } from '../accounts/account.ts'
import { isTokenMechanism } from '../accounts/read.ts'
import { type Mechanism, mechanisms } from '../accounts/values.ts'
import { channelBinding, secure } from './dial.ts'

export class LoginRefused extends Error {
  override name = 'LoginRefused'
  readonly reply: Reply

  constructor(reply: Reply) {
    super(reply.text)
    this.reply = reply
  }
}

export interface Ready {
  socket: Socket
  offers: Offers
  /** Octets that the server takes (RFC 1870); 0: it does not say. */
  sizeLimit: number
}

/** @param secretFor gives the password or the token; asked only when the server is known to be the right one. */
export async function logIn(
  connected: Socket,
  account: Account,
  secretFor: (kind: 'password' | 'token') => Promise<string>,
): Promise<Ready> {
  const socket = account.tls === 'implicit' ? await secure(connected, account) : connected
  let dialogue = new Dialogue(socket, account.timeout)
  expect(220, await dialogue.answer(), 'greeting', account)
  let words = await sayHello(dialogue, account)
  if (account.tls === 'starttls') {
    dialogue = await startTls(dialogue, words, account)
    words = await sayHello(dialogue, account) // RFC 3207 section 4.2: what was said before does not count
  }
  if (account.user !== null) await authenticate(dialogue, words, account, account.user, secretFor)
  return {
    socket: dialogue.release(),
    offers: readOffers(words),
    sizeLimit: Number(/^SIZE (\d{1,15})$/i.exec(words.find((one) => /^SIZE /i.test(one)) ?? '')?.[1] ?? 0),
  }
}

async function sayHello(dialogue: Dialogue, account: Account): Promise<string[]> {
  const verb = account.protocol === 'lmtp' ? 'LHLO' : 'EHLO'
  const reply = expect(250, await dialogue.ask(`${verb} ${account.hello}`), verb, account)
  return reply.text.split('\n').slice(1)
}

async function startTls(dialogue: Dialogue, words: readonly string[], account: Account): Promise<Dialogue> {
  if (!words.some((word) => /^STARTTLS$/i.test(word.trim())))
    throw new LoginRefused(own(454, '4.7.4', `${account.host} does not offer STARTTLS`))
  expect(220, await dialogue.ask('STARTTLS'), 'STARTTLS', account)
  return new Dialogue(await secure(dialogue.release(), account), account.timeout)
}

async function authenticate(
  dialogue: Dialogue,
  words: readonly string[],
  account: Account,
  user: string,
  secretFor: (kind: 'password' | 'token') => Promise<string>,
): Promise<void> {
  const offered = offeredMechanisms(words)
  const binding = channelBinding(dialogue.socket)
  const mechanism = chooseMechanism(account, offered, binding !== null)
  if (!mechanism)
    throw new LoginRefused(own(454, '4.7.0', `${account.host} offers no mechanism that the account can use`))
  const secret = await secretFor(isTokenMechanism(mechanism) ? 'token' : 'password')
  const bindingOffered = offered.includes('scram-sha-256-plus')
  const { host, port } = account
  const credentials = { user, secret, host, port, binding, bindingOffered }
  const reply = await speakSasl(dialogue, mechanism, credentials)
  expect(235, reply, `AUTH ${mechanism.toUpperCase()}`, account)
}

/** The best that the server offers, the account allows and its secret fits; null: none. */
export function chooseMechanism(
  account: Pick<Account, 'mechanisms' | 'secret' | 'tokenCommand'>,
  offered: readonly string[],
  canBind: boolean,
): Mechanism | null {
  const allowed = account.mechanisms.length > 0 ? account.mechanisms : mechanisms
  const fits = (one: Mechanism) =>
    offered.includes(one) &&
    (isTokenMechanism(one) ? account.tokenCommand : account.secret) !== null &&
    (one !== 'scram-sha-256-plus' || canBind)
  return allowed.find(fits) ?? null
}

/** The account's own trouble must not bounce mail: what is refused before MAIL can be put right and tried again. */
function expect(code: number, reply: SmtpReply, what: string, account: Account): SmtpReply {
  if (reply.code === code) return reply
  if (reply.code < 400) throw new DialogueTrouble(`${account.host} answered ${what} with ${reply.code}`)
  throw new LoginRefused({ ...reply, text: `${what}: ${reply.text}`, host: account.host })
}
