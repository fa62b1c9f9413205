/** The arithmetic of screening: signs are worth something each, and the score is their sum. Pure. */

export interface Sign {
  /** Of a list, or of the option that says what it is worth. */
  name: string
  score: number
}

export function addUp(signs: readonly Sign[]): { score: number; signs: Sign[] } {
  const counted = signs.filter(({ score }) => score !== 0)
  return { score: counted.reduce((sum, { score }) => sum + score, 0), signs: counted }
}

/** Of several that say the same in different words only one counts. */
export function worst(signs: readonly Sign[]): Sign | null {
  return signs.reduce<Sign | null>((most, one) => (one.score > (most?.score ?? 0) ? one : most), null)
}
