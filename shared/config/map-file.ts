/**
 * What reading a map file (aliases, mailboxes) gives: always something, and beside it what was wrong. One bad line
 * must not take the mail of everybody else away.
 */
export interface Fault {
  line: number
  why: string
}

export interface ParsedFile<T> {
  value: T
  faults: Fault[]
}
