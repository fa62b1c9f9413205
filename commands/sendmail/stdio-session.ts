/**
 * -bs: a whole SMTP session on standard input and output, for programs that bring their own client. What they
 * say goes to the server's local socket as it is, so the same rules hold as for everyone; the server bounds the
 * time. Leaves with 0 when the session ended, 75 when there is no server.
 */
import { type ExitCode, exitCodes } from './exit-code.ts'
import { open, type Way } from './session.ts'

export async function relayStdio(way: Way): Promise<{ exit: ExitCode; lines: string[] }> {
  const socket = await open(way)
  if ('exit' in socket) return socket
  process.stdin.pipe(socket)
  socket.pipe(process.stdout)
  process.stdout.on('error', () => socket.destroy()) // the caller has gone
  await new Promise<void>((resolve) => {
    socket.once('error', () => resolve())
    socket.once('close', () => resolve())
  })
  return { exit: exitCodes.ok, lines: [] }
}
