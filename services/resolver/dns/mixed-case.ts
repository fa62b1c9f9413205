/**
 * A name in letters of random case: whoever forges an answer without having seen the question has to guess each of
 * them too, on top of id and port (RFC 5452 section 9.3 leaves room for it; servers give the question back as it came,
 * RFC 1034 section 3.1). Pure but for the dice.
 */
import { randomBytes } from 'node:crypto'

const UPPER = 0x20

export function mixCase(name: string): string {
  const letters = Buffer.from(name, 'latin1')
  const dice = randomBytes(letters.length)
  for (const [at, octet] of letters.entries()) {
    const isLetter = octet >= 0x61 && octet <= 0x7a
    if (isLetter && ((dice[at] ?? 0) & 1) === 1) letters[at] = octet & ~UPPER
  }
  return letters.toString('latin1')
}
