/**
 * The message on standard input: its header whole, its body as it comes.
 *
 * Up to READ_AHEAD octets are read before the server is called, so nearly every message is known in full (its
 * size, whether it is 8-bit) and a caller that is slow to write keeps no session open. What is longer is passed
 * on while it is read; memory stays bounded whatever comes.
 * Fails: `InputError` when its header has no end, or anything of it is NUL; as the stream does when it cannot be read.
 */

import { fstatSync } from 'node:fs'
import { type Field, splitHeader } from '../../shared/message/header.ts'
import { LineInput } from './input.ts'

const READ_AHEAD = 1 << 20
const MAX_HEADER = 1 << 20

export class InputError extends Error {
  override name = 'InputError'
}

export interface Message {
  fields: Field[]
  envelopeLines: string[]
  /** The body as far as it was read, latin1. */
  body: string
  /** True when `body` is all of it. */
  whole: boolean
  /** What follows `body`; to be gone through once. */
  rest: AsyncIterable<string>
}

export async function readMessage(stdin: AsyncIterable<Buffer>, ignoreDots: boolean): Promise<Message> {
  const pieces = lines(stdin, new LineInput(ignoreDots))
  const read: string[] = []
  let octets = 0
  let whole = true
  for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
    read.push(next.value)
    octets += next.value.length
    if (octets < READ_AHEAD) continue
    whole = false
    break
  }
  const text = read.join('')
  const split = splitHeader(text, whole)
  if (!split || text.length - split.body.length > MAX_HEADER) throw new InputError('the header has no end')
  return { ...split, whole, rest: pieces }
}

async function* lines(stdin: AsyncIterable<Buffer>, input: LineInput): AsyncGenerator<string, void> {
  for await (const octets of stdin) {
    const text = input.push(octets)
    // RFC 5322 section 3.5, and no server of ours takes it
    if (text.includes('\0')) throw new InputError('a NUL in the message')
    if (text !== '') yield text
    if (input.ended) return
  }
  const text = input.end()
  if (text !== '') yield text
}

/** Throws EISDIR for a directory, which node would quietly take for an empty file. */
export function standardInput(): AsyncIterable<Buffer> {
  if (fstatSync(0).isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' })
  return process.stdin
}

/** What leaves as content: header and body first, the rest behind them. */
export async function* contentOf(header: string, message: Message): AsyncGenerator<Buffer, void> {
  yield Buffer.from(header + message.body, 'latin1')
  if (message.whole) return
  for await (const text of message.rest) yield Buffer.from(text, 'latin1')
}

export function isEightBit(text: string): boolean {
  return /[\x80-\xff]/.test(text)
}
