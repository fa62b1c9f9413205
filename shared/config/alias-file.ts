/**
 * Reads an alias file in Sendmail's format (aliases(5)). Pure.
 *
 *     # a comment
 *     postmaster: root
 *     root:       alice, "bob the builder"@example.org (on leave),
 *                 Carol <carol@example.net>, \dave
 *
 * A line that begins with white space continues the one before, comments and empty lines between them do not
 * matter. Names are compared without regard to case, the first of two equal names counts. `\name` is a mailbox
 * to which no further alias applies. Programs, files, `:include:` lists and other `:words:` are known and kept
 * as `unsupported`; what cannot be read at all is kept as `faulty`; both are reported with their line.
 */
import { type Address, formatAddress, parseMailbox } from '../smtp/address.ts'
import type { Fault, ParsedFile } from './map-file.ts'

export type AliasTarget =
  | { kind: 'address'; address: Address; final: boolean }
  | { kind: 'unsupported'; what: 'program' | 'file' | 'include'; text: string }
  | { kind: 'faulty'; text: string }

export interface Alias {
  name: string
  line: number
  targets: readonly AliasTarget[]
}
export type Aliases = ReadonlyMap<string, Alias>

interface Entry {
  line: number
  text: string
}

export function parseAliasFile(text: string): ParsedFile<Aliases> {
  const value = new Map<string, Alias>()
  const faults: Fault[] = []
  for (const entry of unfold(text, faults)) {
    const alias = parseEntry(entry, faults)
    if (!alias) continue
    const known = value.get(alias.name)
    if (known) faults.push({ line: entry.line, why: `${alias.name} is there already, in line ${known.line}` })
    else value.set(alias.name, alias)
  }
  return { value, faults }
}

function unfold(text: string, faults: Fault[]): Entry[] {
  const entries: Entry[] = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || /^\s*#/.test(line)) continue
    const last = entries[entries.length - 1]
    if (!/^\s/.test(line)) entries.push({ line: index + 1, text: line })
    else if (last) last.text += ` ${line.trim()}`
    else faults.push({ line: index + 1, why: 'there is nothing that this line could continue' })
  }
  return entries
}

function parseEntry({ line, text }: Entry, faults: Fault[]): Alias | null {
  const match = /^\s*(?:"((?:[^"\\]|\\.)*)"|([^:"\s]+))\s*:(.*)$/s.exec(text)
  if (!match) {
    faults.push({ line, why: 'expected name: address, address' })
    return null
  }
  const [, quoted, plain = '', rest = ''] = match
  const name = (quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1')).toLowerCase()
  if (quoted === undefined && name.includes('@')) {
    faults.push({
      line,
      why: `${name}: the name of an alias has no domain; the zone that lists the file has`,
    })
    return null
  }
  const targets = splitTargets(rest).map(readTarget)
  if (targets.length === 0) targets.push({ kind: 'faulty', text: '' })
  for (const target of targets) {
    if (target.kind === 'faulty') faults.push({ line, why: `${name}: \`${target.text}\` is no address` })
    if (target.kind === 'unsupported')
      faults.push({ line, why: `${name}: a ${target.what} cannot be delivered to: \`${target.text}\`` })
  }
  return { name, line, targets }
}

/**
 * The value of a map, in the words of an alias file.
 *
 * @param local of the address that was asked for: a target `@example.net` means the same one there.
 */
export function aliasOf(name: string, value: string, local: string): Alias {
  const targets = splitTargets(value).map((text) =>
    readTarget(text.startsWith('@') ? formatAddress({ local, domain: text.slice(1) }) : text),
  )
  return { name, line: 0, targets: targets.length > 0 ? targets : [{ kind: 'faulty', text: value }] }
}

/** Splits at commas outside quotes, angle brackets and comments; comments go. Empty ones go too. */
export function splitTargets(text: string): string[] {
  const found: string[] = []
  let current = ''
  let quoted = false
  let comment = 0
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? ''
    const pair = character === '\\' && at + 1 < text.length ? character + text[++at] : character
    if (comment === 0 && character === '"') quoted = !quoted
    if (!quoted && character === '(') comment++
    if (comment === 0 && character === ',' && !quoted) {
      found.push(current)
      current = ''
    } else if (comment === 0) current += pair
    if (!quoted && character === ')' && comment > 0) comment--
  }
  found.push(current)
  return found.map((one) => one.trim()).filter((one) => one !== '')
}

function readTarget(text: string): AliasTarget {
  const bare = /^"(?:[^"\\]|\\.)*"$/.test(text) ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text
  if (bare.startsWith('|')) return { kind: 'unsupported', what: 'program', text: bare }
  if (bare.startsWith('/')) return { kind: 'unsupported', what: 'file', text: bare }
  if (/^:\w+:/.test(bare)) return { kind: 'unsupported', what: 'include', text: bare }
  const final = text.startsWith('\\')
  const angle = /<([^<>]*)>$/.exec(text)
  const parsed = parseMailbox(angle?.[1] ?? (final ? text.slice(1) : text), { utf8: true, unqualified: true })
  return parsed.ok ? { kind: 'address', address: parsed.address, final } : { kind: 'faulty', text }
}
