/**
 * saslauthd, Cyrus's helper that asks PAM with the rights that takes: login, password, service and realm go in, each
 * with its length in two octets, and `OK` or `NO` comes back.
 *
 * One connection for each question, as it wants it. Fails: no answer in PATIENCE_MS, or none that can be read, is
 * 'unknown'; nothing throws.
 */
import { connect } from 'node:net'
import type { Log } from '../../shared/base/log.ts'
import type { Verdict } from './sasl-step.ts'

const PATIENCE_MS = 30_000
const SERVICE = 'smtp'
const LONGEST_FIELD = 0xffff
const LONGEST_ANSWER = 1024

export function renderQuestion(login: string, password: string): Buffer | null {
  const fields = [login, password, SERVICE, ''].map((text) => Buffer.from(text))
  if (fields.some(({ length }) => length > LONGEST_FIELD)) return null
  return Buffer.concat(
    fields.flatMap((field) => [Buffer.from([field.length >> 8, field.length & 0xff]), field]),
  )
}

/** Null: more is to come. */
export function parseAnswer(octets: Buffer): 'yes' | 'no' | 'nonsense' | null {
  if (octets.length < 2) return null
  const length = octets.readUInt16BE(0)
  if (length < 2 || length > LONGEST_ANSWER) return 'nonsense'
  if (octets.length < 2 + length) return null
  const word = octets.toString('latin1', 2, 4)
  if (word === 'OK') return 'yes'
  return word === 'NO' ? 'no' : 'nonsense'
}

export function askSaslauthd(path: string, login: string, password: string, log: Log): Promise<Verdict> {
  const question = renderQuestion(login, password)
  if (!question) return Promise.resolve({ kind: 'false' })
  return new Promise((resolve) => {
    let answer = Buffer.alloc(0)
    const socket = connect(path)
    const settle = (verdict: Verdict, why = '') => {
      socket.destroy()
      if (why) log.error({ socket: path, why }, 'saslauthd does not answer')
      resolve(verdict)
    }
    socket.setTimeout(PATIENCE_MS, () => settle({ kind: 'unknown' }, 'timeout'))
    socket.on('error', (error) => settle({ kind: 'unknown' }, error.message))
    socket.on('close', () => settle({ kind: 'unknown' }))
    socket.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk])
      const parsed = parseAnswer(answer)
      if (parsed === 'nonsense') settle({ kind: 'unknown' }, 'nonsense')
      else if (parsed) settle(parsed === 'yes' ? { kind: 'true', login } : { kind: 'false' })
    })
    socket.write(question)
  })
}
