/**
 * Counts what arrives in a Maildir that only grows. Reading a folder costs time that the servers could use, so an
 * answer may be STALE_MS old, and counted messages are moved out of the way into `seen`, unsynced, much as a reader does.
 */
import { mkdirSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'

const STALE_MS = 100

export interface Inbox {
  count: () => number
}

export function openInbox(maildir: string): Inbox {
  let counted = 0
  let readAt = Number.NEGATIVE_INFINITY
  const count = () => {
    if (performance.now() - readAt < STALE_MS) return counted
    for (const name of namesIn(join(maildir, 'new'))) {
      mkdirSync(join(maildir, 'seen'), { recursive: true })
      renameSync(join(maildir, 'new', name), join(maildir, 'seen', name))
      counted++
    }
    readAt = performance.now()
    return counted
  }
  return { count }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // nothing has come yet
  }
}
