/**
 * The way in: a config file to slices, or to all that is wrong with it.
 *
 * Nothing here throws for bad input; a file that cannot be read is a problem like any other. `checkCommand` is the
 * body of `posthorn check`. Reading order: lexer, parser, include, section with options (the table), schema
 * (defaults and validation), slice with listeners, zones and rules.
 */
import { dirname, resolve } from 'node:path'
import { collectFacts, type Facts, type Overrides } from './facts.ts'
import { fileBlock, sectionWords } from './file.ts'
import { type Reading, readFiles, readText } from './include.ts'
import { faultsOfMaps } from './map-check.ts'
import { type Problem, Problems, printProblems } from './problem.ts'
import { assemble, sketch } from './schema.ts'
import { readSection } from './section.ts'
import { buildSlices } from './slice.ts'
import type { Slices } from './slices.ts'

export type { Overrides } from './facts.ts'
export { renderOptions } from './manual.ts'
export { type Problem, printProblems } from './problem.ts'

export type Checked =
  | { kind: 'ok'; slices: Slices; warnings: Problem[] }
  | { kind: 'bad'; problems: Problem[] }

export function loadConfig(file: string, overrides: Overrides = {}): Checked {
  const problems = new Problems()
  return check(readFiles(file, sectionWords, problems), collectFacts(overrides), problems)
}

/** The same for text; `name` stands in problems, and relative paths start at its directory. */
export function loadConfigText(text: string, name = 'posthorn.conf', overrides: Overrides = {}): Checked {
  const problems = new Problems()
  const source = { name, directory: dirname(resolve(name)), text }
  return check(readText(source, sectionWords, problems), collectFacts(overrides), problems)
}

/**
 * The slices as far as a file makes sense, for whoever only wants to find a server that runs by an older state of
 * it; null when nothing in it does. Starts faster than `loadConfig`: the whole is not validated.
 */
export function loadLeniently(file: string, overrides: Overrides = {}): Slices | null {
  const problems = new Problems()
  const { statements, source } = readFiles(file, sectionWords, problems)
  if (statements.length === 0 && problems.errors > 0) return null
  const at = { source, start: 0, end: 1 }
  const config = sketch(readSection(fileBlock, statements, '', at, problems))
  return buildSlices(config, collectFacts(overrides), problems)
}

function check({ statements, source }: Reading, facts: Facts, problems: Problems): Checked {
  const at = { source, start: 0, end: 1 }
  if (statements.length === 0 && problems.errors > 0) return { kind: 'bad', problems: problems.sorted() }
  const config = assemble(readSection(fileBlock, statements, '', at, problems), problems)
  const slices = buildSlices(config, facts, problems)
  if (problems.errors > 0) return { kind: 'bad', problems: problems.sorted() }
  return { kind: 'ok', slices, warnings: problems.sorted() }
}

const EXIT_BAD = 1

/** What `posthorn check FILE` prints and leaves with. */
export function checkCommand(file: string, overrides: Overrides = {}): { output: string; exit: number } {
  const checked = loadConfig(file, { usersMayBeMissing: true, ...overrides })
  if (checked.kind === 'bad') return { output: printProblems(checked.problems), exit: EXIT_BAD }
  const { slices, warnings } = checked
  const faults = faultsOfMaps(slices.resolver.maps)
  const verdict = faults === '' ? good(file, slices) : ''
  return { output: printProblems(warnings) + faults + verdict, exit: faults === '' ? 0 : EXIT_BAD }
}

function good(file: string, { mcp, resolver }: Slices): string {
  return `${file}: good, ${counted(mcp.listeners.length, 'listener')}, ${counted(resolver.zones.length, 'zone')}\n`
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
