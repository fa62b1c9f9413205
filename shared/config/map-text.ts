/**
 * Maps that are text files: one reader for each type, and what a key finds in what was read. Pure, but for the engine
 * of regular expressions, which is loaded when the first pattern is read.
 *
 *     hash      anna@example.org  anna, ben      cidr    192.0.2.0/24  REJECT      regexp    /^list-.*@/i  lists
 *
 * Lines that begin with `#` are comments; one that begins with white space continues the one before. A hash file may
 * have its key in quotes, and then its value may be, with a `;` behind it. The first line that fits decides.
 *
 * A line that cannot be read is a fault, and what is not found while there is one may have stood in it: that is
 * trouble, never "not there". Of the types that go by order, so is what stands behind it.
 */

import type { Fault, ParsedFile } from './map-file.ts'
import { compilePattern } from './map-pattern.ts'
import type { TextMapKind } from './map-slices.ts'
import { masked, type Network, parseNetwork } from './network.ts'
import { toDomain } from './types.ts'

export interface TextEntry {
  value: string
  line: number
}
export interface TextMap {
  readonly size: number
  find(key: string): TextEntry | 'faulty' | null
}

interface Line {
  number: number
  text: string
}

export function parseMapText(kind: TextMapKind, text: string): ParsedFile<TextMap> {
  const faults: Fault[] = []
  const lines = unfold(text, faults)
  const builder = builders[kind]()
  for (const line of lines) {
    const why = builder.add(line)
    if (why !== null) faults.push({ line: line.number, why })
  }
  faults.sort((a, b) => a.line - b.line)
  const firstFault = faults[0]?.line ?? Number.POSITIVE_INFINITY
  const trustedTo = kind === 'hash' ? Number.POSITIVE_INFINITY : firstFault
  const find: TextMap['find'] = (key) => {
    const entry = builder.find(key)
    if (entry && entry.line <= trustedTo) return entry
    return faults.length > 0 ? 'faulty' : null
  }
  return { value: { size: builder.size(), find }, faults }
}

function unfold(text: string, faults: Fault[]): Line[] {
  const lines: Line[] = []
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    if (raw.trim() === '' || /^\s*#/.test(raw)) continue
    const last = lines[lines.length - 1]
    if (!/^\s/.test(raw)) lines.push({ number: index + 1, text: raw.trimEnd() })
    else if (last) last.text += ` ${raw.trim()}`
    else faults.push({ line: index + 1, why: 'there is nothing that this line could continue' })
  }
  return lines
}

interface Builder {
  /** Why the line cannot be read, or null. */
  add(line: Line): string | null
  find(key: string): TextEntry | null
  size(): number
}

const builders: Readonly<Record<TextMapKind, () => Builder>> = {
  hash: hashBuilder,
  cidr: networkBuilder,
  regexp: patternBuilder,
}

/** Upper and lower case are one, and domains are in A-labels. */
export function foldKey(key: string): string {
  const at = key.lastIndexOf('@')
  const domain = key.slice(at + 1)
  const plain = at >= 0 && /[^\0-\x7f]/.test(domain) ? (toDomain(domain) ?? domain) : domain
  return (key.slice(0, at + 1) + plain).toLowerCase()
}

function hashBuilder(): Builder {
  const entries = new Map<string, TextEntry>()
  return {
    size: () => entries.size,
    find: (key) => entries.get(foldKey(key)) ?? null,
    add: ({ number, text }) => {
      const read = readPair(text)
      if (typeof read === 'string') return read
      const key = foldKey(read.key)
      const known = entries.get(key)
      if (known) return `${key} is there already, in line ${known.line}`
      entries.set(key, { value: read.value, line: number })
      return null
    },
  }
}

const QUOTED = /^"((?:[^"\\]|\\.)*)"\s*(?:"((?:[^"\\]|\\.)*)"|([^";]*?))\s*;?$/

function readPair(text: string): { key: string; value: string } | string {
  if (!text.startsWith('"')) {
    const [, key = '', value = ''] = /^(\S+?):?(?:\s+(.*))?$/s.exec(text) ?? []
    return { key, value }
  }
  const [, key, quoted, bare = ''] = QUOTED.exec(text) ?? []
  if (key === undefined) return 'expected "key" "value";'
  return { key: unescaped(key), value: quoted === undefined ? bare : unescaped(quoted) }
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, '$1')
}

/** By family and length of prefix, so that a long list costs no more than a short one. */
function networkBuilder(): Builder {
  const tables = new Map<string, { family: Network['family']; prefix: number; by: Map<bigint, TextEntry> }>()
  let size = 0
  return {
    size: () => size,
    find: (key) => {
      const address = parseNetwork(key.replace(/^::ffff:(?=\d+\.)/i, ''))
      let best: TextEntry | null = null
      for (const { family, prefix, by } of tables.values()) {
        if (address?.family !== family || address.prefix < prefix) continue
        const found = by.get(masked({ ...address, prefix }).bits)
        if (found && (best === null || found.line < best.line)) best = found
      }
      return best
    },
    add: ({ number, text }) => {
      const [, first = '', value = ''] = /^(\S+)(?:\s+(.*))?$/s.exec(text) ?? []
      const network = parseNetwork(first)
      if (!network) return `\`${first}\` is no address or network`
      if (masked(network).bits !== network.bits) return `\`${first}\` has bits set behind its prefix`
      const { family, prefix, bits } = network
      const table = tables.get(`${family}/${prefix}`) ?? { family, prefix, by: new Map<bigint, TextEntry>() }
      tables.set(`${family}/${prefix}`, table)
      if (!table.by.has(bits)) table.by.set(bits, { value, line: number })
      size++
      return null
    },
  }
}

/** More of them than this are a table of another kind. */
const MOST_PATTERNS = 10_000

function patternBuilder(): Builder {
  const patterns: { find: (key: string) => string | null; line: number }[] = []
  return {
    size: () => patterns.length,
    find: (key) => {
      for (const { find, line } of patterns) {
        const value = find(key)
        if (value !== null) return { value, line }
      }
      return null
    },
    add: ({ number, text }) => {
      if (patterns.length >= MOST_PATTERNS) return `more than ${MOST_PATTERNS} patterns`
      const compiled = compilePattern(text)
      if (typeof compiled === 'string') return compiled
      patterns.push({ find: compiled, line: number })
      return null
    },
  }
}
