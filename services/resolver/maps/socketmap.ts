/**
 * Sendmail's socketmap protocol: `name key` as a netstring, and the answer as one: `OK value`, `NOTFOUND`, `TEMP`,
 * `TIMEOUT` or `PERM` with the reason. Everything but the first two is trouble: what the server cannot tell nobody
 * knows.
 *
 * Connections are kept for the next question; one that the other end has closed in the meantime costs a second try.
 */
import { connect, type Socket } from 'node:net'
import type { MapServer } from '../../../shared/config/map-slices.ts'
import { found, LONGEST_VALUE, type MapAnswer, type MapSource, MISSING, trouble } from './answer.ts'
import type { Gate } from './gate.ts'

export function openSocketmap(server: MapServer, name: string, gate: Gate): MapSource {
  const idle: Socket[] = []
  let closed = false
  const give = (socket: Socket) => {
    if (closed || socket.destroyed) socket.destroy()
    else idle.push(socket)
  }
  const ask = async (key: string, signal: AbortSignal): Promise<MapAnswer> => {
    const question = netstring(`${name} ${key}`)
    for (;;) {
      const kept = takeIdle(idle)
      try {
        const socket = kept ?? (await dial(server, signal))
        const answer = await exchange(socket, question, signal)
        give(socket)
        return readAnswer(answer)
      } catch (error) {
        if (!kept || signal.aborted) return trouble(error)
      }
    }
  }
  return {
    wholeKeys: false,
    lookUp: (key) => (/[\r\n\0]/.test(key) ? MISSING : gate.ask((signal) => ask(key, signal))),
    close: () => {
      closed = true
      for (const socket of idle.splice(0)) socket.destroy()
    },
  }
}

function takeIdle(idle: Socket[]): Socket | null {
  for (let socket = idle.pop(); socket; socket = idle.pop()) if (!socket.destroyed) return socket
  return null
}

function dial(server: MapServer, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const where = server.kind === 'unix' ? { path: server.path } : { host: server.host, port: server.port }
    const socket = connect(where)
    // not its own signal, which would end it with the first question
    const giveUp = () => void socket.destroy(new Error('no connection in time'))
    signal.addEventListener('abort', giveUp, { once: true })
    socket.once('connect', () => {
      signal.removeEventListener('abort', giveUp)
      socket.setNoDelay(true).unref()
      resolve(socket)
    })
    // for as long as it lives: one that fails while nobody asks is found destroyed
    socket.on('error', reject)
  })
}

function exchange(socket: Socket, question: Buffer, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let read = Buffer.alloc(0)
    const over = (end: () => void) => {
      socket.off('data', take).off('close', lost)
      signal.removeEventListener('abort', lost)
      end()
    }
    const lost = () =>
      over(() => {
        socket.destroy()
        reject(new Error('the connection was lost'))
      })
    const take = (chunk: Buffer) => {
      read = Buffer.concat([read, chunk])
      const answer = readNetstring(read)
      if (answer === 'more') return
      if (answer !== null) return over(() => resolve(answer))
      over(() => {
        socket.destroy()
        reject(new Error('the answer is no netstring'))
      })
    }
    socket.on('data', take).on('close', lost)
    signal.addEventListener('abort', lost, { once: true })
    socket.write(question)
  })
}

function netstring(text: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(text)}:${text},`)
}

/** `more`: it is not all there; null: it is none. */
export function readNetstring(read: Buffer): string | 'more' | null {
  const colon = read.indexOf(':')
  if (colon < 0) return read.length > 6 ? null : 'more'
  const digits = read.toString('latin1', 0, colon)
  if (!/^\d{1,6}$/.test(digits)) return null
  const length = Number(digits)
  if (length > LONGEST_VALUE) return null
  const end = colon + 1 + length
  if (read.length <= end) return 'more'
  return read.length === end + 1 && read[end] === 0x2c ? read.toString('utf8', colon + 1, end) : null
}

export function readAnswer(text: string): MapAnswer {
  if (text === 'NOTFOUND' || text.startsWith('NOTFOUND ')) return MISSING
  if (text === 'OK') return found('')
  return text.startsWith('OK ') ? found(text.slice(3)) : trouble(text.slice(0, 200))
}
