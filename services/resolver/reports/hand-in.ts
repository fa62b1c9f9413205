/**
 * Gives one message to our own listener of type local, so that it is queued, signed and sent like the mail of any
 * program here. nodemailer's SMTPConnection speaks.
 *
 * Fails: rejects, and nothing was taken, or (a connection lost behind the final dot) it may have been: a report may
 * come twice, its Report-ID tells. Whoever cannot be reached never causes a bounce (NOTIFY=NEVER, RFC 3461).
 */
import { once } from 'node:events'
import { connect } from 'node:net'

const PATIENCE_MS = 60_000

/** Loaded with the first report, or before root is given up. */
export async function loadClient() {
  const { default: SMTPConnection } = await import('nodemailer/lib/smtp-connection')
  return SMTPConnection
}

export interface Handed {
  from: string
  to: readonly string[]
  content: string
}

export async function handIn(path: string, hostname: string, { from, to, content }: Handed): Promise<void> {
  const SmtpConnection = await loadClient()
  const socket = connect(path)
  await once(socket, 'connect')
  const client = new SmtpConnection({
    connection: socket,
    name: hostname,
    ignoreTLS: true,
    greetingTimeout: PATIENCE_MS,
    socketTimeout: PATIENCE_MS,
  })
  try {
    await new Promise<void>((resolve, reject) => {
      client.on('error', reject)
      client.once('end', () => reject(new Error('the connection was closed')))
      client.connect(() => {
        // whoever is refused beside others is passed over: a second try would be a second report for the others
        client.send({ from, to: [...to], dsn: { notify: 'NEVER' } }, content, (error) => {
          if (error) reject(error)
          else resolve()
        })
      })
    })
  } finally {
    client.close()
  }
}
