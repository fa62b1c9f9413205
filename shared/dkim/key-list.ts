/**
 * The file `keys` in a directory of DKIM keys: which of them is to come, signs, or is over. Written by `posthorn key`,
 * read by who signs. Each key is in a file of its own beside it, `SELECTOR.pem`. Pure.
 *
 *     s20261121r rsa active 2026-11-21T15:00:00.000Z 2026-11-21T15:10:00.000Z
 *
 * The times are since when it is what it is, and when it was first seen in DNS (`-`: not yet).
 */

export type KeyState = 'next' | 'active' | 'retired'
export type KeyAlgorithm = 'rsa' | 'ed25519'

export interface KeptKey {
  selector: string
  algorithm: KeyAlgorithm
  state: KeyState
  /** Milliseconds since 1970. */
  since: number
  seen: number | null
}

export const KEY_LIST = 'keys'

export function keyFile(selector: string): string {
  return `${selector}.pem`
}

const LINE = /^([a-z0-9][a-z0-9-]{0,62}) (rsa|ed25519) (next|active|retired) (\S+) (\S+)$/

/** Null: it is no such file. */
export function parseKeyList(text: string): KeptKey[] | null {
  const keys: KeptKey[] = []
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const [, selector = '', algorithm, state, since = '', seen = ''] = LINE.exec(line) ?? []
    const times = [Date.parse(since), seen === '-' ? 0 : Date.parse(seen)]
    if (selector === '' || times.some(Number.isNaN)) return null
    keys.push({
      ...{ selector, algorithm: algorithm as KeyAlgorithm, state: state as KeyState },
      ...{ since: times[0] ?? 0, seen: seen === '-' ? null : (times[1] ?? 0) },
    })
  }
  return keys
}

export function renderKeyList(keys: readonly KeptKey[]): string {
  const time = (at: number | null) => (at === null ? '-' : new Date(at).toISOString())
  const lines = keys.map(
    ({ selector, algorithm, state, since, seen }) =>
      `${selector} ${algorithm} ${state} ${time(since)} ${time(seen)}\n`,
  )
  return `# kept by posthorn key\n${lines.join('')}`
}
