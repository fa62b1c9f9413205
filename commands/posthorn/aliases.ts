/**
 * `newaliases`: there is nothing to build, alias files are read as they are when they change. What people really want
 * to know when they type it is whether the file is right, so that is looked at: each fault with file and line.
 */
import { readFileSync } from 'node:fs'
import { parseAliasFile } from '../../shared/config/alias-file.ts'
import { loadLeniently } from '../../shared/config/check.ts'
import { counted } from './figures.ts'
import { configFile } from './server.ts'
import { type Exit, exits, Trouble } from './trouble.ts'
import type { Call } from './words.ts'

export function checkAliases(call: Call, print: (text: string) => void): Exit {
  const file = configFile(call)
  const slices = loadLeniently(file, { usersMayBeMissing: true })
  if (!slices) throw new Trouble(exits.bad, `${file} cannot be read; see "posthorn check"`)
  const files = new Set(
    slices.resolver.zones.flatMap(({ aliases }) =>
      aliases.flatMap((table) => (table.kind === 'file' ? [table.path] : [])),
    ),
  )
  if (files.size === 0) print(`no alias files in ${file}\n`)
  const faults = [...files].flatMap((path) => faultsOf(path, print))
  if (faults.length > 0) throw new Trouble(exits.bad, faults.join('\n'))
  return exits.ok
}

function faultsOf(path: string, print: (text: string) => void): string[] {
  try {
    const { value, faults } = parseAliasFile(readFileSync(path, 'utf8'))
    print(`${path}: ${counted(value.size, 'alias', 'aliases')}, in use as it is; nothing to build\n`)
    return faults.map(({ line, why }) => `${path}:${line}: ${why}`)
  } catch (error) {
    return [`${path}: cannot be read (${(error as NodeJS.ErrnoException).code})`]
  }
}
