/**
 * What asking a map gives, and what a map is: three outcomes, never a boolean, because a map that cannot be asked now
 * knows of nobody that he is unknown. Next: `maps.ts`.
 */
export type MapAnswer =
  | { kind: 'found'; value: string }
  | { kind: 'missing' }
  /** Ours: what was asked for has to wait. */
  | { kind: 'trouble'; why: string }

export const MISSING: MapAnswer = { kind: 'missing' }

/** A map as it is asked, one key at a time. */
export interface MapSource {
  /** Never throws and never rejects. */
  lookUp(key: string): MapAnswer | Promise<MapAnswer>
  /** A text file, watched: looks whether it has changed, and gives a number that grows when it has. */
  look?(now: number): number
  /** It matches parts of keys itself, so only the whole key is asked for. */
  readonly wholeKeys: boolean
  /** It could not be opened. */
  readonly broken?: boolean
  close(): void
}

export function found(value: string): MapAnswer {
  return { kind: 'found', value }
}

export function trouble(error: unknown): MapAnswer {
  return { kind: 'trouble', why: error instanceof Error ? error.message : String(error) }
}

/** Of more than this nobody has a use: it is not what was meant. */
export const LONGEST_VALUE = 64 << 10
export const LONGEST_KEY = 1000
