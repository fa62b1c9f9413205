/**
 * The source tree as data, for the tests that keep it in order: files, imports, functions, comments.
 *
 * It reads text, not syntax trees, and leans on the formatter: a block that opens at some indentation ends at the
 * next line of the same indentation that begins with `}`. Unformatted code would fool it, and fails the linter.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, normalize } from 'node:path'

export interface SourceFile {
  /** From the root of the checkout: `services/qmgr/main.ts`. */
  path: string
  lines: string[]
  imports: Import[]
}

export interface Import {
  line: number
  /** Path from the root of the checkout for our own files, otherwise the package's name as written. */
  target: string
  ours: boolean
}

export interface FoundFunction {
  line: number
  length: number
  text: string
}

const AREAS = ['services', 'shared', 'commands', 'test']

export function sourceFiles(areas: readonly string[] = AREAS): SourceFile[] {
  return areas.flatMap((area) =>
    readdirSync(area, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readSource(join(area, name))),
  )
}

function readSource(path: string): SourceFile {
  const lines = readFileSync(path, 'utf8').split('\n')
  return { path, lines, imports: lines.flatMap((line, index) => importsIn(path, line, index + 1)) }
}

function importsIn(path: string, text: string, line: number): Import[] {
  const specifiers = [
    ...text.matchAll(
      /^(?:import|export|\}) .*?\bfrom '([^']+)'|^import '([^']+)'|\b(?:import|require)\('([^']+)'\)/g,
    ),
  ]
  const targets = specifiers.map((match) => match.slice(1).find((group) => group !== undefined) ?? '')
  // a bare name of Node's own stands in scripts inside strings; code writes `node:`
  const named = targets.filter((target) => !builtinModules.includes(target))
  return named.map((target) => {
    const ours = target.startsWith('.')
    return { line, ours, target: ours ? normalize(join(dirname(path), target)) : target }
  })
}

/** `services/qmgr`, `shared/bus`, `commands`, `test`: what a rule about imports speaks of. */
export function unitOf(path: string): string {
  const parts = path.split('/')
  const area = parts[0] ?? ''
  return area === 'services' || area === 'shared' ? `${area}/${parts[1]}` : area
}

const FUNCTION_START =
  /^\s*(export )?(async )?function\b|=> \{$|^\s+((public|private|static|override|async|get|set) )*#?[\w$]+(<.*>)?\((?!.*;$)/
const NOT_A_METHOD = /^\s*(if|for|while|switch|catch|return|await|throw|else|do|with|new|void|yield)\b/

export function functionsIn(file: SourceFile): FoundFunction[] {
  const found: FoundFunction[] = []
  file.lines.forEach((text, index) => {
    if (!FUNCTION_START.test(text) || NOT_A_METHOD.test(text)) return
    const end = blockEnd(file.lines, index)
    if (end !== null) found.push({ line: index + 1, length: end - index + 1, text: text.trim() })
  })
  return found
}

/** The line that closes the block which opens at `start`, or after a signature that spans lines; null: no block. */
function blockEnd(lines: string[], start: number): number | null {
  const indent = /^\s*/.exec(lines[start] ?? '')?.[0] ?? ''
  let open = start
  if (!lines[start]?.endsWith('{')) {
    open = lines.findIndex((line, at) => at > start && sameIndent(line, indent))
    if (open < 0 || !/^\s*\).*\{$/.test(lines[open] ?? '')) return null
  }
  const end = lines.findIndex((line, at) => at > open && sameIndent(line, indent))
  return end > 0 && lines[end]?.startsWith(`${indent}}`) ? end : null
}

function sameIndent(line: string, indent: string): boolean {
  return line.startsWith(indent) && line.length > indent.length && line.charAt(indent.length) !== ' '
}

/** `path:line: text`, as editors and terminals understand it. */
export function at(file: SourceFile, line: number, text: string): string {
  return `${file.path}:${line}: ${text}`
}
