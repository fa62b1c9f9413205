/**
 * Where configuration text comes from, and how an offset in it becomes the line and column that a person reads.
 *
 * Offsets are UTF-16 units into `text`; lines and columns count from 1, columns in characters (code points).
 * The line table is made when the first position is asked for, so a file without problems never pays for it.
 */

export interface Source {
  /** As the person named it: stands in front of each problem. */
  readonly name: string
  /** Relative paths in this file start here. */
  readonly directory: string
  readonly text: string
}

export interface Span {
  readonly source: Source
  readonly start: number
  readonly end: number
}

export interface Position {
  line: number
  column: number
  /** The whole line, without its end. */
  text: string
  /** Offset of the position inside `text`. */
  offset: number
}

const lineTables = new WeakMap<Source, number[]>()

export function positionOf(source: Source, offset: number): Position {
  const starts = lineStarts(source)
  let low = 0
  let high = starts.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((starts[middle] ?? 0) <= offset) low = middle
    else high = middle - 1
  }
  const start = starts[low] ?? 0
  const next = starts[low + 1] ?? source.text.length + 1
  const text = source.text.slice(start, next - 1).replace(/\r$/, '')
  const column = [...source.text.slice(start, offset)].length + 1
  return { line: low + 1, column, text, offset: offset - start }
}

/** `file:line:column`. */
export function formatPlace(span: Span): string {
  const { line, column } = positionOf(span.source, span.start)
  return `${span.source.name}:${line}:${column}`
}

function lineStarts(source: Source): number[] {
  const known = lineTables.get(source)
  if (known) return known
  const starts = [0]
  for (let at = source.text.indexOf('\n'); at !== -1; at = source.text.indexOf('\n', at + 1)) {
    starts.push(at + 1)
  }
  lineTables.set(source, starts)
  return starts
}
