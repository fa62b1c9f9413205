/**
 * The command or file of an alias that an address of the queue names (`"|command"@example.org`), found again at each
 * attempt: one that the alias does not name any more, or that somebody else has put into an address, is not there.
 * Pure.
 */
import { targetsOf } from '../../shared/config/alias-file.ts'
import { formatAddress } from '../../shared/smtp/address.ts'
import { type CommandOrFile, commandOrFile, type End } from './expansion.ts'

/** @param ends of the alias's own address. */
export function commandOrFileIn(ends: readonly End[], address: string): CommandOrFile | null {
  for (const end of ends) {
    if ((end.kind === 'pipe' || end.kind === 'file') && formatAddress(end.address) === address) return end
    if (end.kind !== 'list') continue
    for (const target of targetsOf(end.alias)) {
      if (target.kind !== 'pipe' && target.kind !== 'file') continue
      const found = commandOrFile(end, target.kind, target.text)
      if (formatAddress(found.address) === address) return found
    }
  }
  return null
}
