/**
 * The trace header that smtpd puts on top of each message (RFC 5321 section 4.4, RFC 3848 for the protocol
 * names, RFC 6531 section 4.3 for the UTF8 ones), and the count of those that are there already.
 */
import { formatId } from '../../shared/base/ids.ts'
import { formatDate } from './date.ts'
import type { Hello, Setting, State, Transaction } from './state.ts'

export function receivedHeader(
  setting: Setting,
  hello: Hello,
  transaction: Transaction,
  { tls, login }: Pick<State, 'tls' | 'login'>,
): string {
  const protocol = protocolName(setting, hello, transaction.smtputf8, tls !== null, login !== null)
  // RFC 5321 section 7.6: with more than one recipient none is named
  const recipient = transaction.agreed === 1 ? `\r\n\tfor <${transaction.first}>` : ''
  // RFC 8314 section 4.3
  const cipher = tls ? `\r\n\ttls ${tls.cipher} (${tls.version})` : ''
  return (
    `Received: from ${hello.name} (${origin(setting)})\r\n` +
    `\tby ${setting.hostname} (Posthorn) with ${protocol} id ${formatId('T', transaction.id)}${recipient}${cipher};\r\n` +
    `\t${formatDate(transaction.startedAt)}\r\n`
  )
}

function origin(setting: Setting): string {
  if (setting.client === '') return setting.uid === undefined ? 'local' : `uid ${setting.uid}`
  // RFC 5321 section 4.1.3
  const literal = setting.client.includes(':') ? `[IPv6:${setting.client}]` : `[${setting.client}]`
  return setting.named?.kind === 'confirmed' ? `${setting.named.name} ${literal}` : literal
}

function protocolName(
  { kind }: Setting,
  hello: Hello,
  utf8: boolean,
  secure: boolean,
  known: boolean,
): string {
  if (!hello.extended) return secure ? 'ESMTPS' : 'SMTP'
  const lmtp = kind === 'lmtp'
  const plain = lmtp ? 'LMTP' : 'ESMTP'
  const name = utf8 ? `UTF8${lmtp ? 'LMTP' : 'SMTP'}` : plain
  return `${name}${secure ? 'S' : ''}${known ? 'A' : ''}`
}

const RECEIVED = /^received[ \t]*:/gim

/** RFC 5321 section 6.3: how far a message has come. */
export function countHops(header: string): number {
  RECEIVED.lastIndex = 0
  let hops = 0
  while (RECEIVED.test(header)) hops++
  return hops
}
