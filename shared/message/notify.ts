/**
 * NOTIFY (RFC 3461 section 4.1) as envelopes keep it: of which events the sender wants to hear. Absent means
 * failures, and delays as far as we tell of them; `NEVER` means nothing, whatever happens.
 */

export type Wish = 'SUCCESS' | 'FAILURE' | 'DELAY'

/** In the order in which they are written. */
const WISHES: readonly string[] = ['SUCCESS', 'FAILURE', 'DELAY'] satisfies Wish[]
const NEVER = 'NEVER'
const DEFAULT = 'FAILURE,DELAY'

/** The value of the parameter in normal form; null when it is none. */
export function parseNotify(text: string): string | null {
  const words = text.toUpperCase().split(',')
  if (words.length === 1 && words[0] === NEVER) return NEVER
  return words.every((word) => WISHES.includes(word)) ? inOrder(words) : null
}

export function wants(notify: string | undefined, wish: Wish): boolean {
  return (notify ?? DEFAULT).split(',').includes(wish)
}

/** RFC 3461 section 5.2.7: for the copies of an address that was expanded, whose sender is told just that. */
export function withoutSuccess(notify: string | undefined): string | undefined {
  return notify === undefined ? undefined : inOrder(notify.split(',').filter((word) => word !== 'SUCCESS'))
}

/** Two RCPTs came to the same mailbox: whatever either of them wants. */
export function mergeNotify(one: string | undefined, other: string | undefined): string | undefined {
  return one === other ? one : inOrder(`${one ?? DEFAULT},${other ?? DEFAULT}`.split(','))
}

function inOrder(words: readonly string[]): string {
  return WISHES.filter((wish) => words.includes(wish)).join(',') || NEVER
}
