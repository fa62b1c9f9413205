/**
 * What a user says to "May this go out?", in one line or by a command's exit code: pure.
 *
 *     y                     yes                      n            no
 *     d                     yes, and to everybody in these domains
 *     a                     yes, and to these always: until the grant is revoked
 *     y *@*.example.com     yes, and to whom the patterns cover; so with a
 *
 * What a yes covers counts with `confirm first`. Patterns must cover the recipients in question, so that nobody is
 * asked the same thing again. Whatever else is said is no answer: it is asked again, and without one mail is held.
 */
import { matchesRecipient, readPattern } from '../accounts/patterns.ts'

export type Answer =
  | { kind: 'no' | 'unknown' }
  /** `patterns` is what it covers; `always`: until it is revoked. */
  | { kind: 'yes'; patterns: readonly string[]; always: boolean }

const MOST_PATTERNS = 20
const FORMS: Readonly<Record<string, 'yes' | 'no' | 'domains' | 'always'>> = {
  ...{ y: 'yes', yes: 'yes', n: 'no', no: 'no' },
  ...{ d: 'domains', domains: 'domains', a: 'always', always: 'always' },
}

/** A string says what is wrong with the answer. */
export function readAnswer(line: string, recipients: readonly string[]): Answer | string {
  const [word = '', ...patterns] = line.trim().split(/[\s,]+/)
  const form = Object.hasOwn(FORMS, word.toLowerCase()) ? FORMS[word.toLowerCase()] : undefined
  if (form === undefined) return 'y, n, d or a'
  if (form === 'no') return patterns.length === 0 ? { kind: 'no' } : 'a no takes no pattern'
  if (form === 'domains')
    return patterns.length === 0 ? yes(patternsFor(recipients, true)) : 'patterns go behind y or a'
  if (patterns.length === 0) return yes(patternsFor(recipients, false), form === 'always')
  const wrong = whyNotCovering(patterns, recipients)
  return wrong === ''
    ? yes(
        patterns.map((one) => one.toLowerCase()),
        form === 'always',
      )
    : wrong
}

const BY_EXIT: Readonly<Record<number, string>> = { 0: 'y', 1: 'n', 2: 'd', 3: 'a' }

/** @param printed patterns, if there are some; other words count for nothing. */
export function answerOfCommand(exit: number | null, printed: string, recipients: readonly string[]): Answer {
  const word = BY_EXIT[exit ?? -1]
  if (word === undefined) return { kind: 'unknown' }
  if (word === 'n') return { kind: 'no' }
  const answers = [word === 'd' ? word : `${word} ${printed}`, word].map((line) =>
    readAnswer(line, recipients),
  )
  return answers.find((answer) => typeof answer !== 'string') ?? { kind: 'unknown' }
}

function yes(patterns: readonly string[], always = false): Answer {
  return { kind: 'yes', patterns, always }
}

function whyNotCovering(patterns: readonly string[], recipients: readonly string[]): string {
  if (patterns.length > MOST_PATTERNS) return `at most ${MOST_PATTERNS} patterns`
  const bad = patterns.find((pattern) => readPattern(pattern).kind === 'bad')
  if (bad !== undefined) return `${bad} is no pattern of addresses, such as *@example.com`
  const left = recipients.find((address) => !patterns.some((pattern) => matchesRecipient(pattern, address)))
  return left === undefined ? '' : `that does not cover ${left}`
}

/** What a yes covers: these addresses, or all of their domains. An address with a `*` would be a pattern: not kept. */
export function patternsFor(recipients: readonly string[], domains: boolean): string[] {
  const kept = recipients.filter((address) => !address.includes('*'))
  const patterns = domains ? kept.map((address) => `*${address.slice(address.lastIndexOf('@'))}`) : kept
  return [...new Set(patterns.map((pattern) => pattern.toLowerCase()))]
}
