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
 * to which no further alias applies; `|command` and `/file` are what mail is given to; `:include:/file` has members of
 * its own. Other `:words:` are kept as `unsupported`, what cannot be read at all as `faulty`; both are reported with
 * their line.
 *
 * An entry of more than LONGEST_AT_ONCE characters is not taken apart when the file is read: nobody may wait for that.
 * Its targets come one by one from `targetsOf`, and its faults are found there.
 */
import { type Address, formatAddress, parseMailbox } from '../smtp/address.ts'
import type { Fault, ParsedFile } from './map-file.ts'

export const LONGEST_AT_ONCE = 8192

export type AliasTarget =
  | { kind: 'address'; address: Address; final: boolean }
  /** text: what follows `|`, or the path. */
  | { kind: 'pipe' | 'file' | 'include'; text: string }
  | { kind: 'unsupported'; text: string }
  | { kind: 'faulty'; text: string }

export interface Alias {
  name: string
  line: number
  /** Empty where there is `members`. */
  targets: readonly AliasTarget[]
  /** The targets of a long entry, as they stand in the file. */
  members?: string
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
  if (rest.length > LONGEST_AT_ONCE) return { name, line, targets: [], members: rest }
  const targets = splitTargets(rest).map(readTarget)
  if (targets.length === 0) targets.push({ kind: 'faulty', text: '' })
  for (const target of targets) {
    const why = whyNot(target)
    if (why !== null) faults.push({ line, why: `${name}: ${why}` })
  }
  return { name, line, targets }
}

/** What is wrong with a target; null: nothing. */
export function whyNot(target: AliasTarget): string | null {
  if (target.kind === 'faulty') return `\`${target.text.slice(0, 100)}\` is no address`
  return target.kind === 'unsupported' ? `nothing is known of \`${target.text.slice(0, 100)}\`` : null
}

export function* targetsOf(alias: Alias): Generator<AliasTarget, void> {
  yield* alias.targets
  if (alias.members !== undefined) yield* targetsIn(alias.members)
}

/** The targets in a text, one by one. */
export function* targetsIn(text: string): Generator<AliasTarget, void> {
  for (const piece of pieces(text)) yield readTarget(piece)
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
  return [...pieces(text)]
}

function* pieces(text: string): Generator<string, void> {
  let current = ''
  let quoted = false
  let comment = 0
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? ''
    const pair = character === '\\' && at + 1 < text.length ? character + text[++at] : character
    if (comment === 0 && character === '"') quoted = !quoted
    if (!quoted && character === '(') comment++
    if (comment === 0 && character === ',' && !quoted) {
      if (current.trim() !== '') yield current.trim()
      current = ''
    } else if (comment === 0) current += pair
    if (!quoted && character === ')' && comment > 0) comment--
  }
  if (current.trim() !== '') yield current.trim()
}

function readTarget(text: string): AliasTarget {
  // "|command" and "/file" as a whole, and |"command with blanks" as sendmail takes it too
  const bare = /^"(?:[^"\\]|\\.)*"$/.test(text) ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text
  if (bare.startsWith('|')) return named('pipe', unquoted(bare.slice(1).trim()), text)
  if (bare.startsWith('/')) return named('file', bare, text)
  if (/^:include:/i.test(bare)) {
    const path = unquoted(bare.slice(':include:'.length).trim())
    return path.startsWith('/') ? named('include', path, text) : { kind: 'faulty', text }
  }
  if (/^:\w+:/.test(bare)) return { kind: 'unsupported', text: bare }
  const final = text.startsWith('\\')
  const angle = /<([^<>]*)>$/.exec(text)
  const parsed = parseMailbox(angle?.[1] ?? (final ? text.slice(1) : text), { utf8: true, unqualified: true })
  return parsed.ok ? { kind: 'address', address: parsed.address, final } : { kind: 'faulty', text }
}

/** The largest command or path: it has to fit into an address of the queue. */
const LONGEST_NAMED = 1000

function named(kind: 'pipe' | 'file' | 'include', named: string, text: string): AliasTarget {
  const isSound = named !== '' && named.length <= LONGEST_NAMED && !/\p{Cc}/u.test(named)
  return isSound ? { kind, text: named } : { kind: 'faulty', text }
}

function unquoted(text: string): string {
  return /^"(?:[^"\\]|\\.)*"$/.test(text) ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text
}
