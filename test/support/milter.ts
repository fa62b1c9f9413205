/**
 * A milter for tests that does what it is told: which answer to each command, which changes at the end. It speaks the
 * protocol as libmilter does on the other side of our own, and notes all that it hears.
 *
 * `stop` ends it and its connections; a connection that it drops is `answer: 'drop'`, one it ignores `'silence'`.
 */
import { createServer, type Server, type Socket } from 'node:net'

export interface MilterScript {
  actions?: number
  steps?: number
  /** By command letter; `c`, continue, for those that are not here. A list is answered one after another. */
  answers?: Record<string, Buffer | 'drop' | 'silence' | ((data: string) => Buffer)>
  /** Before the answer to the end of the content. */
  changes?: Buffer[]
}

export interface ScriptedMilter {
  path: string
  /** `L:Subject\0Hi\0`: letter and data of each command, in order; bodies as `B:` and octets. */
  heard: string[]
  connections: () => number
  stop: () => Promise<void>
}

export function milterPacket(letter: string, ...data: (string | number)[]): Buffer {
  const parts = data.map((one) => {
    if (typeof one === 'string') return Buffer.from(`${one}\0`, 'latin1')
    const octets = Buffer.alloc(4)
    octets.writeUInt32BE(one)
    return octets
  })
  const length = Buffer.alloc(4)
  length.writeUInt32BE(1 + parts.reduce((sum, part) => sum + part.length, 0))
  return Buffer.concat([length, Buffer.from(letter), ...parts])
}

export const goOn = milterPacket('c')
const ALL_ACTIONS = 0x1ff

export async function startMilter(path: string, script: MilterScript = {}): Promise<ScriptedMilter> {
  const heard: string[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined)
    serve(socket, script, heard)
  })
  await new Promise<void>((up) => server.listen(path, up))
  return { path, heard, connections: () => connections, stop: () => stop(server, sockets) }
}

function serve(socket: Socket, script: MilterScript, heard: string[]): void {
  let waiting: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    waiting = Buffer.concat([waiting, chunk])
    while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32BE(0)) {
      const end = 4 + waiting.readUInt32BE(0)
      const letter = waiting.toString('latin1', 4, 5)
      const data = waiting.toString('latin1', 5, end)
      waiting = waiting.subarray(end)
      heard.push(letter === 'O' ? letter : `${letter}:${data}`)
      answer(socket, script, letter, data)
    }
  })
}

function answer(socket: Socket, script: MilterScript, letter: string, data: string): void {
  if (letter === 'D' || letter === 'A') return
  if (letter === 'Q') return void socket.end()
  const scripted = script.answers?.[letter]
  if (scripted === 'drop') return void socket.destroy()
  if (scripted === 'silence') return
  if (letter === 'O' && !scripted)
    return void socket.write(milterPacket('O', 6, script.actions ?? ALL_ACTIONS, script.steps ?? 0))
  if (letter === 'E') for (const change of script.changes ?? []) socket.write(change)
  socket.write(typeof scripted === 'function' ? scripted(data) : (scripted ?? goOn))
}

async function stop(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  for (const socket of sockets) socket.destroy()
  await new Promise((done) => server.close(done))
}
