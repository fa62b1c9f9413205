/**
 * POSTHORN_SANDBOX: the message becomes a file instead of mail, so that a development machine writes to nobody.
 * `NAME.eml` is the content as it would have been handed over, `NAME.json` its envelope; written last, it says that
 * the other is whole.
 */
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Job } from './conversation.ts'

export async function writeToSandbox(
  directory: string,
  { sender, recipients, account }: Job,
  content: AsyncIterable<Buffer>,
): Promise<void> {
  mkdirSync(directory, { recursive: true })
  const name = `${new Date().toISOString().replace(/[-:.]/g, '')}-${process.pid}-${process.hrtime.bigint()}`
  const file = openSync(join(directory, `${name}.eml`), 'wx', 0o600)
  try {
    for await (const piece of content) writeFileSync(file, piece)
  } finally {
    closeSync(file)
  }
  const envelope = { sender, recipients, account, file: `${name}.eml` }
  writeFileSync(join(directory, `${name}.json`), `${JSON.stringify(envelope)}\n`, { mode: 0o600 })
}
