/**
 * As much of IMAP (RFC 9051) as a phone needs to read mail, for tests: TLS from the first octet, one command at a time.
 *
 * Fails: `ask` rejects with what the server said when that is not OK, and when it says nothing for PATIENCE_MS.
 */
import { connect, type TLSSocket } from 'node:tls'
import { within } from './wait.ts'

const PATIENCE_MS = 60_000

export interface Imap {
  /** All that comes until the tagged OK, as Latin-1. */
  ask: (command: string) => Promise<string>
  close: () => void
}

/** @param authority certificate that must have signed the server's, PEM. */
export async function openImap(port: number, servername: string, authority: Buffer): Promise<Imap> {
  const socket = connect({ host: '127.0.0.1', port, servername, ca: authority })
  socket.setEncoding('latin1')
  let number = 0
  await until(socket, /^\* OK .*\r\n/)
  return {
    ask: async (command) => {
      const tag = `a${++number}`
      socket.write(`${tag} ${command}\r\n`)
      const said = await until(socket, new RegExp(`(?:^|\\r\\n)${tag} \\w+.*\\r\\n$`))
      if (!new RegExp(`(?:^|\\r\\n)${tag} OK`).test(said)) throw new Error(`${command}: ${said}`)
      return said
    },
    close: () => socket.destroy(),
  }
}

function until(socket: TLSSocket, end: RegExp): Promise<string> {
  let said = ''
  let take = (_text: string): void => undefined
  let lost = (_error?: Error): void => undefined
  const whole = new Promise<string>((resolve, reject) => {
    take = (text) => {
      said += text
      if (end.test(said)) resolve(said)
    }
    lost = (error) => reject(error ?? new Error(`IMAP was closed after: ${said}`))
    socket.on('data', take).on('close', lost).on('error', lost)
  })
  return within(`an answer of IMAP like ${end}`, PATIENCE_MS, whole).finally(() =>
    socket.off('data', take).off('close', lost).off('error', lost),
  )
}
