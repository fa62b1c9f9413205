/**
 * Problems: what is wrong with a configuration, collected rather than thrown, and printed for a person.
 *
 *     posthorn.conf:3:5: unknown option `prot` in `listener`
 *         prot 25;
 *         ^^^^
 *     hint: did you mean `port`?
 *
 * An `error` keeps the configuration from being used; a `warning` does not. Limits: the first MAX_PROBLEMS are
 * kept and the rest counted; a long line is shown around the place, its control characters as `?`.
 */
import { positionOf, type Span } from './source.ts'

export interface Problem {
  severity: 'error' | 'warning'
  at: Span
  message: string
  hint: string | null
}

const MAX_PROBLEMS = 100
const MAX_SHOWN = 120
const MAX_MESSAGE = 400

export class Problems {
  readonly list: Problem[] = []
  errors = 0

  error(at: Span, message: string, hint: string | null = null): void {
    this.errors++
    if (this.errors <= MAX_PROBLEMS) this.list.push({ severity: 'error', at, message, hint })
  }

  warn(at: Span, message: string, hint: string | null = null): void {
    if (this.list.length < 2 * MAX_PROBLEMS) this.list.push({ severity: 'warning', at, message, hint })
  }

  /** What was found, in the order of the files and lines, each said once. */
  sorted(): Problem[] {
    const order = new Map<string, number>()
    for (const { at } of this.list) if (!order.has(at.source.name)) order.set(at.source.name, order.size)
    const rank = (problem: Problem) => order.get(problem.at.source.name) ?? 0
    const seen = new Set<string>()
    const sorted = this.list
      .toSorted((one, other) => rank(one) - rank(other) || one.at.start - other.at.start)
      .filter((problem) => {
        const key = `${problem.at.source.name}:${problem.at.start}:${problem.message}`
        return !seen.has(key) && seen.add(key)
      })
    const last = sorted.at(-1)
    if (last && this.errors > MAX_PROBLEMS) {
      sorted.push({ ...last, message: `and ${this.errors - MAX_PROBLEMS} more problems`, hint: null })
    }
    return sorted
  }
}

export function printProblems(problems: readonly Problem[]): string {
  return problems.map(printProblem).join('')
}

function printProblem({ severity, at, message, hint }: Problem): string {
  const place = positionOf(at.source, at.start)
  const label = severity === 'warning' ? 'warning: ' : ''
  const head = `${at.source.name}:${place.line}:${place.column}: ${label}${bounded(message)}\n`
  const tail = hint === null ? '' : `hint: ${bounded(hint)}\n`
  if (at.source.text === '') return head + tail
  return `${head}${drawLine(place.text, place.offset, at.end - at.start)}${tail}`
}

function drawLine(line: string, offset: number, width: number): string {
  const from = offset < MAX_SHOWN - 20 ? 0 : offset - MAX_SHOWN / 2
  const shown = line.slice(from, from + MAX_SHOWN)
  const before = shown.slice(0, offset - from)
  const marked = Math.max(1, [...shown.slice(before.length, before.length + width)].length)
  const pad = [...before].map((char) => (char === '\t' ? '\t' : ' ')).join('')
  return `    ${printable(shown)}\n    ${pad}${'^'.repeat(marked)}\n`
}

function bounded(text: string): string {
  return printable(text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE)}…` : text)
}

/** A file may hold anything; a terminal must not be told it raw. */
export function printable(text: string): string {
  return text.replace(/[^\P{C}\t]|\ufffd/gu, '?')
}
