/**
 * A message while filters work on it: its header as a list, a body that may take the place of the client's, and what
 * is to become of the envelope. Pure, and mutable: one message, one draft.
 *
 * A body that filters put in has whole line ends, whatever they said: nobody is sent a bare CR or LF by us.
 */
import { ChunkParser } from '../chunk-parser.ts'
import type { Change } from './change.ts'
import { editFields, type Field, type Head, renderHead } from './header.ts'

/** What filters want of the envelope. */
export interface Revision {
  sender: string | null
  added: readonly { address: string; parameters: string }[]
  removed: readonly string[]
  /** Why it is to be held in the queue; null: it is not. */
  hold: string | null
  /** The client hears that it was accepted, and nobody gets it. */
  discard: boolean
}

export class Draft {
  fields: readonly Field[]
  /** Null: as it came. */
  body: Buffer | null = null
  readonly #before: readonly Field[]
  readonly #closed: boolean
  readonly #binary: boolean
  #sender: string | null = null
  /** In the order that filters said it: who is added later is not removed by an earlier word. */
  readonly #added: { address: string; parameters: string }[] = []
  readonly #removed: string[] = []
  #hold: string | null = null

  constructor({ fields, closed }: Head, binary: boolean) {
    this.fields = fields
    this.#before = fields
    this.#closed = closed
    this.#binary = binary
  }

  /** All that one filter has said. */
  apply(changes: readonly Change[]): void {
    for (const change of changes) this.#applyOne(change)
    const pieces = changes.flatMap((change) => (change.kind === 'body' ? [change.octets] : []))
    if (pieces.length > 0) this.body = this.#binary ? Buffer.concat(pieces) : wholeLines(pieces)
  }

  /** The new header with its empty line; null: it stays as it is. */
  head(): Buffer | null {
    if (this.fields === this.#before && (this.#closed || this.body === null)) return null
    return Buffer.from(renderHead(this.fields), 'latin1')
  }

  revision(discard: boolean): Revision {
    const [added, removed] = [this.#added, this.#removed]
    return { sender: this.#sender, added, removed, hold: this.#hold, discard }
  }

  #applyOne(change: Change): void {
    switch (change.kind) {
      case 'add-field':
      case 'insert-field':
      case 'change-field':
        this.fields = editFields(this.fields, change)
        return
      case 'sender':
        this.#sender = change.address
        return
      case 'add-recipient':
        this.#added.push({ address: change.address, parameters: change.parameters })
        return
      case 'remove-recipient':
        this.#remove(change.address)
        return
      case 'hold':
        this.#hold = change.reason
        return
      case 'body':
        return
      default:
        return change satisfies never
    }
  }

  #remove(address: string): void {
    const at = this.#added.findIndex((one) => one.address === address)
    if (at >= 0) this.#added.splice(at, 1)
    this.#removed.push(address)
  }
}

function wholeLines(pieces: readonly Buffer[]): Buffer {
  const whole: Buffer[] = []
  const parser = new ChunkParser(true, (chunk, from, to) => whole.push(Buffer.from(chunk.subarray(from, to))))
  for (const piece of pieces) parser.push(piece, 0, piece.length)
  parser.end()
  return Buffer.concat(whole)
}
