/** Our password at a server: the first line of a file, read when it is wanted. */
import { readFileSync } from 'node:fs'

/** @throws what reading a file throws; '' without one. */
export function passwordOf(file: string | null): string {
  return file === null ? '' : (readFileSync(file, 'utf8').split(/\r?\n/, 1)[0] ?? '')
}
