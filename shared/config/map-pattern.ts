/**
 * One line of a map of regular expressions, `/pattern/flags value`, by RE2: matching takes time in proportion to the
 * key, whatever the pattern, because what could not be done so (back references, looking ahead) is no pattern.
 *
 * As in Postfix upper and lower case are one, and the flag `i` makes them two; `!/pattern/` fits what the pattern does
 * not. `$1` to `$9` in the value are what the groups have matched, `$$` is a `$`.
 */
import { createRequire } from 'node:module'
import type { RE2JS } from 're2js'

const LINE = /^(!?)\/((?:[^/\\]|\\.)*)\/([a-z]*)(?:\s+(.*))?$/s
const LONGEST_PATTERN = 2000

let engine: typeof RE2JS | null = null

/** Its files may lie where the resolver's user cannot read, so whoever gives up root loads it before. */
export function loadPatterns(): typeof RE2JS {
  engine ??= (createRequire(import.meta.url)('re2js') as { RE2JS: typeof RE2JS }).RE2JS
  return engine
}

/** What a key finds by it, or why it is none. */
export function compilePattern(text: string): ((key: string) => string | null) | string {
  const [, not = '', pattern, flags = '', value = ''] = LINE.exec(text) ?? []
  if (pattern === undefined) return 'expected /pattern/ value'
  if (pattern.length > LONGEST_PATTERN) return `a pattern of more than ${LONGEST_PATTERN} characters`
  if (/[^i]/.test(flags)) return `\`${flags}\` are no flags: only \`i\` is known`
  const negated = not === '!'
  if (negated && /\$[1-9]/.test(value)) return 'a pattern that must not fit has no groups'
  const re2 = loadPatterns()
  try {
    const compiled = re2.compile(pattern, flags === 'i' ? 0 : re2.CASE_INSENSITIVE)
    if (groupsIn(value) > compiled.groupCount()) return `the pattern has no group ${groupsIn(value)}`
    return (key) => {
      const matcher = compiled.matcher(key)
      if (matcher.find() === negated) return null
      return value.replace(/\$([1-9$])/g, (_, which: string) =>
        which === '$' ? '$' : (matcher.group(Number(which)) ?? ''),
      )
    }
  } catch (error) {
    return `no regular expression of RE2: ${error instanceof Error ? error.message : String(error)}`
  }
}

function groupsIn(value: string): number {
  return Math.max(0, ...[...value.replaceAll('$$', '').matchAll(/\$([1-9])/g)].map(([, n]) => Number(n)))
}
