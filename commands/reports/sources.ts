/**
 * Where reports lie: Maildirs, folders and files, of messages with a report attached or of reports as they are.
 *
 * A folder with `cur` and `new` is a Maildir, other folders are read flat; links and what is no file are passed over,
 * below the paths that were named. Fails: a named path that cannot be read throws; a file that is no report, or a
 * broken one, is told to `told` and passed over. One file at a time is in memory, of MOST_OCTETS.
 */
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type PostalMime from 'postal-mime'
import { type Report, readReport } from './reading.ts'
import { unpack } from './unpack.ts'

const MOST_OCTETS = 64 << 20
const MOST_ATTACHMENTS = 10

export async function* reportsIn(
  paths: readonly string[],
  told: (file: string, why: string) => void,
): AsyncGenerator<Report> {
  const { default: parser } = await import('postal-mime')
  for (const path of paths)
    for (const file of filesIn(path)) {
      try {
        for (const data of await documentsIn(file, parser)) {
          const report = readReport(data)
          if (report) yield report
        }
      } catch (error) {
        told(file, error instanceof Error ? error.message : String(error))
      }
    }
}

function filesIn(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path]
  const names = readdirSync(path)
  const folders = names.includes('cur') && names.includes('new') ? ['new', 'cur'] : ['.']
  return folders.flatMap((folder) =>
    readdirSync(join(path, folder))
      .map((name) => join(path, folder, name))
      .filter((file) => lstatSync(file, { throwIfNoEntry: false })?.isFile()),
  )
}

async function documentsIn(file: string, parser: typeof PostalMime): Promise<Buffer[]> {
  if (statSync(file).size > MOST_OCTETS) throw new Error('too large')
  const data = readFileSync(file)
  if (!isMessage(data)) return unpack(data)
  const { attachments } = await parser.parse(data, { attachmentEncoding: 'arraybuffer' })
  const found: Buffer[] = []
  for (const { content } of attachments.slice(0, MOST_ATTACHMENTS))
    if (content instanceof ArrayBuffer) found.push(...unpack(Buffer.from(content)))
  return found
}

/** It begins with a field, or with the line that an mbox puts before. */
function isMessage(data: Buffer): boolean {
  return /^(?:From |[A-Za-z][!-9;-~]{0,75}:)/.test(data.toString('latin1', 0, 80))
}
