/**
 * A mailbox that the config serves, for the banner's "what to type next": the first one of the first local zone
 * with a mailbox file, or the caller's own in a zone of system users.
 */
import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { ZoneSlice } from '../../shared/config/slices.ts'

export function exampleMailbox(zones: readonly ZoneSlice[]): { address: string; maildir: string } | null {
  for (const zone of zones) {
    const mailbox = zone.type === 'local' ? firstMailbox(zone) : null
    if (mailbox && zone.maildir)
      return {
        address: `${mailbox.name}@${zone.name}`,
        maildir: resolve(mailbox.home, zone.maildir.replace(/^~\//, '')),
      }
  }
  return null
}

function firstMailbox({ users }: ZoneSlice): { name: string; home: string } | null {
  try {
    if (users?.kind === 'system') {
      const { username, homedir, uid } = userInfo()
      return uid >= users.minimumUid ? { name: username, home: homedir } : null
    }
    if (!users) return null
    const lines = readFileSync(users.path, 'utf8').split('\n')
    const line = lines.find((one) => /^[^#\s:]+:/.test(one))
    const [name, , , home] = line?.split(':') ?? []
    return name && home ? { name, home: resolve(dirname(users.path), home) } : null
  } catch {
    return null
  }
}
