/**
 * The text files of maps, looked through: each bad line as `file:line: why`. Only `posthorn check` does this; a server
 * that runs keeps the content it had before such a line came. A file that cannot be read is said by the config's check.
 */
import { readFileSync } from 'node:fs'
import type { MapSlice } from './map-slices.ts'
import { parseMapText } from './map-text.ts'

const MOST_FAULTS = 100

export function faultsOfMaps(maps: readonly MapSlice[]): string {
  const faults = maps.flatMap(({ source }) => {
    if (source.kind !== 'hash' && source.kind !== 'cidr' && source.kind !== 'regexp') return []
    const { kind, file } = source
    const text = readText(file)
    return text === null
      ? []
      : parseMapText(kind, text).faults.map(({ line, why }) => `${file}:${line}: ${why}\n`)
  })
  const more = faults.length - MOST_FAULTS
  return faults.slice(0, MOST_FAULTS).join('') + (more > 0 ? `and ${more} more bad lines in maps\n` : '')
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
