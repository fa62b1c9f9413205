/**
 * Sendmail's socketmap protocol: `name key` as a netstring, and the answer as one: `OK value`, `NOTFOUND`, `TEMP`,
 * `TIMEOUT` or `PERM` with the reason. Everything but the first two is trouble: what the server cannot tell nobody
 * knows.
 * Its connections: `kept-connections.ts`.
 */
import type { MapServer } from '../../../shared/config/map-slices.ts'
import { found, LONGEST_VALUE, type MapAnswer, type MapSource, MISSING, trouble } from './answer.ts'
import type { Gate } from './gate.ts'
import { KeptConnections } from './kept-connections.ts'

export function openSocketmap(server: MapServer, name: string, gate: Gate): MapSource {
  const connections = new KeptConnections(server)
  const ask = async (key: string, signal: AbortSignal): Promise<MapAnswer> =>
    readAnswer(await connections.ask(netstring(`${name} ${key}`), readReply, signal))
  return {
    wholeKeys: false,
    lookUp: (key) => (/[\r\n\0]/.test(key) ? MISSING : gate.ask((signal) => ask(key, signal))),
    close: () => connections.close(),
  }
}

function readReply(read: Buffer): string | null {
  const answer = readNetstring(read)
  if (answer === null) throw new Error('the answer is no netstring')
  return answer === 'more' ? null : answer
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
