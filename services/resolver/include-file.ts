/**
 * A file that an alias includes (`:include:/path`, aliases(5)): addresses apart by commas and line ends, lines that begin
 * with `#` are comments. Read in pieces each time it is wanted, so that a long one holds up nobody.
 *
 * Fails: throws when it cannot be opened, is no plain file, or has a line of more than LONGEST_LINE characters. Limit:
 * MOST_OCTETS.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

const MOST_OCTETS = 64 << 20
const LONGEST_LINE = 1 << 16
const PIECE = 1 << 16

export interface IncludedLine {
  line: number
  text: string
}

export async function* linesOf(path: string): AsyncGenerator<IncludedLine, void> {
  // a FIFO must not hold up whoever opens it
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  try {
    const facts = await file.stat()
    if (!facts.isFile()) throw new Error(`${path} is not a file`)
    if (facts.size > MOST_OCTETS) throw new Error(`${path} has more than ${MOST_OCTETS} octets`)
    const decoder = new TextDecoder()
    const buffer = Buffer.alloc(PIECE)
    let rest = ''
    let line = 0
    for (let left = MOST_OCTETS; left > 0; ) {
      const { bytesRead } = await file.read(buffer, 0, PIECE)
      left -= bytesRead
      const lines = (rest + decoder.decode(buffer.subarray(0, bytesRead), { stream: bytesRead > 0 })).split(
        '\n',
      )
      rest = bytesRead > 0 ? (lines.pop() ?? '') : ''
      for (const one of lines) {
        line++
        if (one.length > LONGEST_LINE) throw new Error(`${path}:${line}: a line of ${one.length} characters`)
        const text = one.trim()
        if (text !== '' && !text.startsWith('#')) yield { line, text }
      }
      if (rest.length > LONGEST_LINE) throw new Error(`${path}:${line + 1}: a line without end`)
      if (bytesRead === 0) return
    }
  } finally {
    await file.close()
  }
}
