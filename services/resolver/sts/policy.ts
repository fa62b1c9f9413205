/**
 * What a domain says of MTA-STS (RFC 8461): the record in DNS that there is a policy and which, and the policy. Pure.
 * What is not as the RFC has it is none; unknown fields are passed over.
 */

export interface StsPolicy {
  /** Of the record by which it was fetched. */
  id: string
  mode: 'enforce' | 'testing' | 'none'
  /** A-labels, lower case; a leading `*.` stands for one label. */
  mx: string[]
  /** Seconds. */
  maxAge: number
}

/** RFC 8461 section 3.2. */
const LONGEST_AGE = 31_557_600
const MOST_HOSTS = 100
const PATTERN = /^(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+$/

/** Section 3.1: the id; null unless there is exactly one such record. */
export function readRecord(texts: readonly string[]): string | null {
  const [only, ...others] = texts.filter((text) => /^v=STSv1\s*;/.test(text))
  if (only === undefined || others.length > 0) return null
  return /;\s*id\s*=\s*([a-z0-9]{1,32})\s*(?:;|$)/i.exec(only)?.[1] ?? null
}

/** Section 3.2: lines `key: value`. The first of a key counts, but for `mx`. */
export function readPolicy(text: string, id: string): StsPolicy | null {
  const fields = text.split(/\r?\n/).flatMap((line) => {
    const [, key, value] = /^([a-z0-9][a-z0-9_.-]{0,31})[ \t]*:[ \t]*(.*?)[ \t]*$/i.exec(line) ?? []
    return key === undefined || value === undefined ? [] : [{ key, value }]
  })
  const first = (key: string) => fields.find((field) => field.key === key)?.value ?? ''
  const mode = (['enforce', 'testing', 'none'] as const).find((one) => one === first('mode'))
  if (first('version') !== 'STSv1' || !mode || !/^\d{1,10}$/.test(first('max_age'))) return null
  const maxAge = Math.min(Number(first('max_age')), LONGEST_AGE)
  const mx = fields.flatMap(({ key, value }) => (key === 'mx' ? [value.toLowerCase()] : []))
  if (mx.length > MOST_HOSTS || !mx.every((one) => PATTERN.test(one))) return null
  return mode === 'none' || mx.length > 0 ? { id, mode, mx, maxAge } : null
}
