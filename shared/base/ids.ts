/**
 * Identifiers that follow a message through every process.
 *
 * A worker gets a *serial* from qmgr when it joins the bus: a number that the spool never gives twice. Every
 * id it makes is `serial * 2^28 + counter`, so ids stay unique over crashes, restarts and reboots, sort by
 * age within a process, fit a double exactly, and serve as SQLite row ids. On paper they are a letter for
 * what they name (S session, T transaction and so message, A delivery attempt) and the number in base 36.
 *
 * Limits: 2^25 serials, 2^28 ids for each; `IdSource.next` throws past that (a worker is restarted long before).
 */

export type IdKind = 'S' | 'T' | 'A'

const COUNTERS_PER_SERIAL = 2 ** 28
const MAX_SERIAL = 2 ** 25

export class IdSource {
  #next: number
  #end: number

  constructor(serial: number) {
    if (!Number.isInteger(serial) || serial < 1 || serial >= MAX_SERIAL) {
      throw new RangeError(`serial ${serial} is outside 1..${MAX_SERIAL - 1}`)
    }
    this.#next = serial * COUNTERS_PER_SERIAL
    this.#end = this.#next + COUNTERS_PER_SERIAL
  }

  next(): number {
    if (this.#next >= this.#end) throw new RangeError('this worker has used up its ids')
    return this.#next++
  }
}

/** `T0H5GX3K` for 1062894512 and so on. */
export function formatId(kind: IdKind, id: number): string {
  return kind + id.toString(36).toUpperCase()
}

/** The number behind a printed id, or null when the text is none. Case does not matter. */
export function parseId(kind: IdKind, text: string): number | null {
  if (text.charAt(0).toUpperCase() !== kind || !/^[a-z0-9]{1,11}$/i.test(text.slice(1))) return null
  const id = Number.parseInt(text.slice(1), 36)
  return Number.isSafeInteger(id) ? id : null
}
