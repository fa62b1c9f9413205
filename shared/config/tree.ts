/**
 * The parsed configuration, before anyone asks what it means: statements made of words, strings and blocks.
 *
 *     listener "mx" { port 25; };        Statement [Word listener, Word "mx", Block [Statement [port, 25]]]
 *
 * `section.ts` gives statements their meaning by the option table.
 */
import type { Span } from './source.ts'

export interface Word extends Span {
  readonly kind: 'word'
  readonly text: string
  readonly quoted: boolean
  /** First of its line. */
  readonly leads: boolean
}

export interface Not extends Span {
  readonly kind: 'not'
}

export interface Block extends Span {
  readonly kind: 'block'
  readonly statements: readonly Statement[]
}

export type Item = Word | Not | Block

/** Never empty. */
export interface Statement {
  readonly items: readonly Item[]
}
