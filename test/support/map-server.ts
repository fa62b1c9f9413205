/**
 * A server of Sendmail's socketmap protocol for tests, in this process: answers from a table of `map key`, or with one
 * fixed answer. `stop` is a death: the socket's file goes and open connections are cut.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface MapServer {
  path: string
  table: Map<string, string>
  /** Questions so far. */
  asked: string[]
  /** Connections so far. */
  connections: () => number
  /** To each question; null: by the table. */
  answer: (text: string | null) => void
  stop: () => Promise<void>
  start: () => Promise<void>
  close: () => Promise<void>
}

export async function openMapServer(entries: Record<string, string>): Promise<MapServer> {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-map-'))
  const path = join(directory, 'map.sock')
  const table = new Map(Object.entries(entries))
  const asked: string[] = []
  const sockets = new Set<Socket>()
  let fixed: string | null = null
  let connections = 0
  let server: Server
  const reply = (question: string) => {
    asked.push(question)
    const value = table.get(question)
    return fixed ?? (value === undefined ? 'NOTFOUND ' : `OK ${value}`)
  }
  const start = async () => {
    server = createServer((socket) => {
      connections++
      sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
      serve(socket, reply)
    })
    server.listen(path)
    await once(server, 'listening')
  }
  const stop = async () => {
    for (const socket of sockets) socket.destroy()
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }
  await start()
  return {
    path,
    table,
    asked,
    connections: () => connections,
    answer: (text) => {
      fixed = text
    },
    start,
    stop,
    close: async () => {
      await stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function serve(socket: Socket, reply: (question: string) => string): void {
  let read = ''
  socket.setEncoding('utf8').on('data', (text: string) => {
    read += text
    for (let match = /^(\d+):/.exec(read); match; match = /^(\d+):/.exec(read)) {
      const [head, length] = match
      const end = head.length + Number(length)
      if (read.length <= end) return
      const answer = reply(read.slice(head.length, end))
      read = read.slice(end + 1)
      socket.write(`${Buffer.byteLength(answer)}:${answer},`)
    }
  })
}
