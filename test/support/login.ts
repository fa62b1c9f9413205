/**
 * The client's side of logging in, for tests: TLS on top of a connection, and each mechanism as a client speaks it.
 */
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import {
  authMessage,
  clientProof,
  deriveKeys,
  parseServerFirst,
  serverSignature,
} from '../../shared/smtp/scram.ts'
import { type ClientReply, connectTo, SmtpClient } from './client.ts'

const EXPORTER = 'EXPORTER-Channel-Binding'

export const encode = (text: string | Buffer) => Buffer.from(text).toString('base64')

/** STARTTLS and EHLO, before and after. */
export async function openSecure(port: number, options: ConnectionOptions = {}): Promise<SmtpClient> {
  const plain = await connectTo(port)
  await plain.reply()
  await plain.say('EHLO client.example')
  const go = await plain.say('STARTTLS')
  if (go.code !== 220) throw new Error(`STARTTLS: ${go.lines}`)
  plain.socket.removeAllListeners('data')
  plain.socket.setEncoding()
  const socket = await new Promise<TLSSocket>((done, fail) => {
    const tls = connectTls({ rejectUnauthorized: false, socket: plain.socket, ...options }, () => done(tls))
    tls.once('error', fail)
  })
  const client = new SmtpClient(socket)
  await client.say('EHLO client.example')
  return client
}

export function plain(client: SmtpClient, login: string, password: string): Promise<ClientReply> {
  return client.say(`AUTH PLAIN ${encode(`\0${login}\0${password}`)}`)
}

/** SCRAM-SHA-256, with -PLUS bound to the connection by tls-exporter; the server's proof is checked as well. */
export async function scram(
  client: SmtpClient,
  login: string,
  password: string,
  plus: boolean,
): Promise<ClientReply> {
  const header = plus ? 'p=tls-exporter,,' : 'n,,'
  const first = `n=${login},r=0123456789`
  const challenge = await client.say(`AUTH SCRAM-SHA-256${plus ? '-PLUS' : ''} ${encode(header + first)}`)
  if (challenge.code !== 334) return challenge
  const serverFirst = Buffer.from(challenge.text, 'base64').toString()
  const said = parseServerFirst(serverFirst)
  if (!said?.nonce.startsWith('0123456789')) throw new Error(`server said ${serverFirst}`)
  const socket = client.socket as TLSSocket
  const binding = plus ? socket.exportKeyingMaterial(32, EXPORTER, Buffer.alloc(0)) : Buffer.alloc(0)
  const final = `c=${encode(Buffer.concat([Buffer.from(header), binding]))},r=${said.nonce}`
  const keys = await deriveKeys(password, said.salt, said.iterations)
  const message = authMessage(first, serverFirst, final)
  const proven = await client.say(encode(`${final},p=${encode(clientProof(keys, message))}`))
  if (proven.code !== 334) return proven
  const wanted = `v=${encode(serverSignature(keys, message))}`
  if (Buffer.from(proven.text, 'base64').toString() !== wanted)
    throw new Error('the server does not know the password')
  return client.say('')
}
