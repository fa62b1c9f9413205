/**
 * "Did you mean …?": the nearest known word to one that is not, by optimal string alignment distance
 * (insertions, deletions, substitutions, neighbours swapped), or by being a beginning of it.
 */

export function nearest(word: string, candidates: Iterable<string>): string | null {
  const wanted = normalise(word)
  let best: string | null = null
  let bestDistance = wanted.length < 3 ? 0.5 : Math.max(1, Math.floor(wanted.length / 3)) + 0.5
  for (const candidate of candidates) {
    const known = normalise(candidate)
    if (Math.abs(known.length - wanted.length) > 40 || wanted.length > 80) continue
    const distance = isBeginning(wanted, known)
      ? Math.min(1, alignment(wanted, known))
      : alignment(wanted, known)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** The hint for an unknown word: the nearest one, or all of them when that is short enough to read. */
export function suggestion(word: string, candidates: readonly string[]): string | null {
  const near = nearest(word, candidates)
  if (near !== null) return `did you mean \`${near}\`?`
  if (candidates.length === 0 || candidates.length > 40) return null
  return `known here: ${candidates.join(', ')}`
}

function normalise(word: string): string {
  return word.toLowerCase().replaceAll('_', '-')
}

function isBeginning(one: string, other: string): boolean {
  return Math.min(one.length, other.length) >= 4 && (one.startsWith(other) || other.startsWith(one))
}

function alignment(one: string, other: string): number {
  let before: number[] = []
  let above = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (let row = 1; row <= one.length; row++) {
    const current = [row]
    for (let column = 1; column <= other.length; column++) {
      const same = one[row - 1] === other[column - 1]
      let least = Math.min(
        (above[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (above[column - 1] ?? 0) + (same ? 0 : 1),
      )
      const swapped = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1]
      if (swapped && row > 1 && column > 1) least = Math.min(least, (before[column - 2] ?? 0) + 1)
      current.push(least)
    }
    before = above
    above = current
  }
  return above[other.length] ?? 0
}
