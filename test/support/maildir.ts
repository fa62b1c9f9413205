/**
 * Reads Maildirs as a mail reader does: what stands in `new` and `cur` is delivered, `tmp` is nobody's business.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from './wait.ts'

export interface StoredMail {
  file: string
  content: Buffer
}

export function maildirFiles(path: string): string[] {
  return ['new', 'cur'].flatMap((part) => {
    const folder = join(path, part)
    return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []
  })
}

export function readMaildir(path: string): StoredMail[] {
  return maildirFiles(path).map((file) => ({ file, content: readFileSync(file) }))
}

/** Resolves when the Maildir holds at least so many messages. */
export async function mailsIn(path: string, count: number, patience?: number): Promise<StoredMail[]> {
  await until(`${count} messages in ${path}`, () => maildirFiles(path).length >= count, patience)
  return readMaildir(path)
}
