/**
 * A mailbox that the config serves, for the banner's "what to type next": the first one of the first local zone
 * with a mailbox file, or the caller's own in a zone of system users.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, relative, resolve } from 'node:path'
import type { Slices, ZoneSlice } from '../../shared/config/slices.ts'

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

/**
 * Makes the home of the example when it lies in the server's own directory, so that the config as shipped works
 * at the first start. Homes elsewhere are their owners' business, and not made by a mail server.
 */
export function makeExampleHome({ mcp, resolver }: Slices): void {
  for (const zone of resolver.zones) {
    if (zone.users?.kind !== 'file') continue
    const home = firstMailbox(zone)?.home
    if (home && !relative(mcp.directory, home).startsWith('..')) mkdirSync(home, { recursive: true })
  }
}

function firstMailbox({ users }: ZoneSlice): { name: string; home: string } | null {
  try {
    if (users?.kind === 'system') {
      const { username, homedir, uid } = userInfo()
      return uid >= users.minimumUid ? { name: username, home: homedir } : null
    }
    if (users?.kind !== 'file') return null
    const lines = readFileSync(users.path, 'utf8').split('\n')
    const line = lines.find((one) => /^[^#\s:]+:/.test(one))
    const [name, , , home] = line?.split(':') ?? []
    return name && home ? { name, home: resolve(dirname(users.path), home) } : null
  } catch {
    return null
  }
}
