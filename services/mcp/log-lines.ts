/**
 * Log lines in transit, as bytes: where lines end, how severe one is, and what is none.
 *
 * A worker writes one JSON object per line and begins each with its level, so that the severity of a line is one
 * byte at a known place and nothing need be parsed. What is not JSON (the last words of a dying Node) is
 * wrapped into a line of the same form. Pure.
 */
import type { Severity } from '../../shared/base/log.ts'

const NEWLINE = 10
const BRACE = 123
/** `{"level":"` */
const LEVEL_AT = 10
/** A line without an end is cut here, so that a mad worker cannot fill our memory. */
export const LONGEST_LINE = 1 << 20

const RANKS: Readonly<Record<Severity, number>> = { debug: 0, info: 1, warn: 2, error: 3, fatal: 4 }
const RANK_BY_BYTE: ReadonlyMap<number, number> = new Map(
  Object.entries(RANKS).map(([word, rank]) => [word.charCodeAt(0), rank]),
)

export function rank(severity: Severity): number {
  return RANKS[severity]
}

/** Splits into whole lines and the beginning of one. */
export function cutAtLineEnd(partial: Buffer | null, chunk: Buffer): { whole: Buffer; rest: Buffer | null } {
  const data = partial ? Buffer.concat([partial, chunk]) : chunk
  const end = data.lastIndexOf(NEWLINE) + 1
  const rest = end === data.length ? null : data.subarray(end)
  if (rest && rest.length > LONGEST_LINE)
    return { whole: Buffer.concat([data, Buffer.of(NEWLINE)]), rest: null }
  return { whole: data.subarray(0, end), rest }
}

/** The lines of `whole` that are at least this severe; a line of no known level counts as severe. */
export function filterLines(whole: Buffer, least: number): Buffer {
  if (least === 0) return whole
  const kept: Buffer[] = []
  for (let start = 0; start < whole.length; ) {
    const end = whole.indexOf(NEWLINE, start) + 1 || whole.length
    if ((RANK_BY_BYTE.get(whole[start + LEVEL_AT] ?? 0) ?? RANKS.fatal) >= least)
      kept.push(whole.subarray(start, end))
    start = end
  }
  return kept.length === 1 && kept[0] ? kept[0] : Buffer.concat(kept)
}

/** Makes one JSON line of each run of lines that are none. */
export function wrapForeign(whole: Buffer, name: string, time: Date): Buffer {
  if (whole.length === 0 || isAllJson(whole)) return whole
  const out: string[] = []
  let foreign: string[] = []
  const flush = () => {
    const text = foreign.join('\n').trim()
    if (text)
      out.push(
        JSON.stringify({ level: 'error', time: time.toISOString(), name, text, msg: 'said on stderr' }),
      )
    foreign = []
  }
  for (const line of whole.toString('utf8').split('\n')) {
    if (!line.startsWith('{')) foreign.push(line)
    else {
      flush()
      out.push(line)
    }
  }
  flush()
  return Buffer.from(out.map((line) => `${line}\n`).join(''))
}

function isAllJson(whole: Buffer): boolean {
  for (let start = 0; start < whole.length; ) {
    if (whole[start] !== BRACE) return false
    start = whole.indexOf(NEWLINE, start) + 1 || whole.length
  }
  return true
}
