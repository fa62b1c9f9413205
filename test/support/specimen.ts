/**
 * Messages that prove themselves: each carries a mark of its own and the checksum of its body, so that whoever
 * finds one can tell which it is and whether a single octet has changed on the way.
 */
import { createHash, randomUUID } from 'node:crypto'

export interface Specimen {
  mark: string
  content: string
}

/** @param octets about how long the body is; lines of 72 octets, some of which begin with a dot. */
export function makeSpecimen(octets = 1024, mark: string = randomUUID()): Specimen {
  const line = `${mark} ${'posthorn '.repeat(8)}`.slice(0, 70)
  const dots = `.${line.slice(1)}`
  let body = ''
  for (let n = 0; body.length < octets; n++) body += `${n % 7 === 3 ? dots : line}\r\n`
  const header = [
    `From: <sender@client.example>`,
    `Subject: specimen ${mark}`,
    `X-Mark: ${mark}`,
    `X-Sum: ${sum(body)}`,
  ]
  return { mark, content: `${header.join('\r\n')}\r\n\r\n${body}` }
}

/** The mark of a message found somewhere, or null when it is none of ours or not whole. */
export function readSpecimen(content: Uint8Array): string | null {
  const text = Buffer.from(content).toString('latin1').replace(/\r?\n/g, '\r\n')
  const end = text.indexOf('\r\n\r\n')
  const mark = /^X-Mark: (\S+)\r$/m.exec(text)?.[1]
  const expected = /^X-Sum: (\S+)\r$/m.exec(text)?.[1]
  if (end < 0 || !mark || !expected) return null
  return sum(text.slice(end + 4)) === expected ? mark : null
}

function sum(body: string): string {
  return createHash('sha256').update(body, 'latin1').digest('hex').slice(0, 24)
}
