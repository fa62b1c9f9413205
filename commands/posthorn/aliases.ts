/**
 * `newaliases`: there is nothing to build, alias files are read as they are when they change. What people really want
 * to know when they type it is whether the file is right, so that is looked at: every file of every zone and those that
 * it includes, what they hold, and each fault with file and line.
 */
import { readFileSync } from 'node:fs'
import {
  type AliasTarget,
  parseAliasFile,
  targetsIn,
  targetsOf,
  whyNot,
} from '../../shared/config/alias-file.ts'
import { loadLeniently } from '../../shared/config/check.ts'
import type { ZoneSlice } from '../../shared/config/slices.ts'
import { counted } from './figures.ts'
import { configFile } from './server.ts'
import { type Exit, exits, Trouble } from './trouble.ts'
import type { Call } from './words.ts'

export function checkAliases(call: Call, print: (text: string) => void): Exit {
  const file = configFile(call)
  const slices = loadLeniently(file, { usersMayBeMissing: true })
  if (!slices) throw new Trouble(exits.bad, `${file} cannot be read; see "posthorn check"`)
  const { zones } = slices.resolver
  const check = new AliasCheck(print, mayRun(zones))
  const files = new Set(
    zones.flatMap(({ aliases }) => aliases.flatMap((table) => (table.kind === 'file' ? [table.path] : []))),
  )
  if (files.size === 0) print(`no alias files in ${file}\n`)
  for (const path of files) check.aliases(path)
  for (const path of check.included) check.members(path)
  if (check.faults.length > 0) throw new Trouble(exits.bad, check.faults.join('\n'))
  return exits.ok
}

function mayRun(zones: readonly ZoneSlice[]): boolean {
  return zones.some(({ aliasUser }) => aliasUser !== undefined)
}

class AliasCheck {
  readonly faults: string[] = []
  /** Grows while it is gone through. */
  readonly included = new Set<string>()
  readonly #print: (text: string) => void
  readonly #mayRun: boolean

  constructor(print: (text: string) => void, mayRun: boolean) {
    this.#print = print
    this.#mayRun = mayRun
  }

  aliases(path: string): void {
    const text = this.#read(path)
    if (text === null) return
    const { value, faults } = parseAliasFile(text)
    for (const { line, why } of faults) this.faults.push(`${path}:${line}: ${why}`)
    let targets = 0
    let longest = { name: '', targets: 0 }
    for (const alias of value.values()) {
      let own = 0
      for (const target of targetsOf(alias)) {
        own++
        // what was taken apart when the file was read has been looked at
        const why = alias.members === undefined ? this.#whyNotHere(target) : this.#whyNot(target)
        if (why !== null) this.faults.push(`${path}:${alias.line}: ${alias.name}: ${why}`)
      }
      targets += own
      if (own > longest.targets) longest = { name: alias.name, targets: own }
    }
    const size = `${counted(value.size, 'alias', 'aliases')}, ${counted(targets, 'target', 'targets')}`
    const most = longest.targets > 0 ? `, most in ${longest.name} (${longest.targets})` : ''
    this.#print(`${path}: ${size}${most}; in use as it is, nothing to build\n`)
  }

  members(path: string): void {
    const text = this.#read(path)
    if (text === null) return
    let members = 0
    for (const [index, line] of text.split('\n').entries()) {
      if (/^\s*(#|$)/.test(line)) continue
      for (const target of targetsIn(line.trim())) {
        members++
        const isNamed = target.kind === 'pipe' || target.kind === 'file'
        const why = isNamed ? `no ${target.kind} is taken from a file of members` : this.#whyNot(target)
        if (why !== null) this.faults.push(`${path}:${index + 1}: ${why}`)
      }
    }
    this.#print(`${path}: ${counted(members, 'member', 'members')}\n`)
  }

  #whyNot(target: AliasTarget): string | null {
    return whyNot(target) ?? this.#whyNotHere(target)
  }

  #whyNotHere(target: AliasTarget): string | null {
    if (target.kind === 'include') this.included.add(target.text)
    if (target.kind !== 'pipe' && target.kind !== 'file') return null
    return this.#mayRun || target.text === '/dev/null'
      ? null
      : `\`${target.text}\` needs a user: set \`alias-user\` in \`options\``
  }

  #read(path: string): string | null {
    try {
      return readFileSync(path, 'utf8')
    } catch (error) {
      this.faults.push(`${path}: cannot be read (${(error as NodeJS.ErrnoException).code})`)
      return null
    }
  }
}
