/**
 * Sizes, durations and rates as people write them: `25M`, `5m30s`, `60/m`; and back again for the manual.
 *
 * Sizes are octets, K M G are powers of 1024. Durations are milliseconds; a number needs its unit, for
 * nobody remembers whether 60 was seconds or minutes.
 */

/** Factors for the option table: octets and milliseconds. */
export const K = 2 ** 10
export const M = 2 ** 20
export const G = 2 ** 30
export const second = 1000
export const minute = 60 * second
export const hour = 60 * minute
export const day = 24 * hour

export type Reading<T> = { kind: 'ok'; value: T } | { kind: 'bad'; message: string; hint: string | null }

export function ok<T>(value: T): Reading<T> {
  return { kind: 'ok', value }
}

export function bad(
  message: string,
  hint: string | null = null,
): { kind: 'bad'; message: string; hint: string | null } {
  return { kind: 'bad', message, hint }
}

const sizeUnits: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }
const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

export function parseSize(text: string): Reading<number> {
  const found = /^(\d{1,15})([KMGT]?)$/i.exec(text)
  if (!found) {
    const close = /^(\d{1,15})\s*([KMGT])i?B(?:ytes?)?$/i.exec(text)
    const hint = close
      ? `write \`${close[1]}${close[2]?.toUpperCase()}\``
      : 'a number with K, M, G or T: `25M`'
    return bad(`\`${text}\` is no size`, hint)
  }
  const octets = Number(found[1]) * (sizeUnits[(found[2] ?? '').toUpperCase()] ?? 1)
  return Number.isSafeInteger(octets) ? ok(octets) : bad(`\`${text}\` is too large a size`)
}

export function formatSize(octets: number): string {
  for (const unit of ['T', 'G', 'M', 'K']) {
    const factor = sizeUnits[unit] ?? 1
    if (octets >= factor && octets % factor === 0) return `${octets / factor}${unit}`
  }
  return String(octets)
}

export function parseDuration(text: string): Reading<number> {
  if (text === '0') return ok(0)
  if (/^\d{1,12}$/.test(text))
    return bad(`\`${text}\` has no unit`, `write \`${text}s\`, \`${text}m\` or \`${text}h\``)
  if (!/^(?:\d{1,12}(?:ms|[smhdw]))+$/i.test(text)) {
    return bad(`\`${text}\` is no duration`, 'numbers with ms, s, m, h, d or w: `5m30s`')
  }
  let total = 0
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|[smhdw])/gi)) {
    total += Number(count) * (durationUnits[(unit ?? '').toLowerCase()] ?? 0)
  }
  return Number.isSafeInteger(total) ? ok(total) : bad(`\`${text}\` is too long a duration`)
}

export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return '0'
  let rest = milliseconds
  let text = ''
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const factor = durationUnits[unit] ?? 1
    const count = Math.floor(rest / factor)
    if (count > 0) text += `${count}${unit}`
    rest -= count * factor
  }
  return text
}

export interface Rate {
  count: number
  period: number
}

/** `60/m`: so many in a second, minute, hour or day. */
export function parseRate(text: string): Reading<Rate> {
  const found = /^(\d{1,9})\/([smhd])$/i.exec(text)
  const count = Number(found?.[1])
  if (!found || count === 0) return bad(`\`${text}\` is no rate`, 'a number per s, m, h or d: `60/m`')
  return ok({ count, period: durationUnits[(found[2] ?? 's').toLowerCase()] ?? 1000 })
}

export function formatRate(rate: Rate): string {
  const unit = Object.keys(durationUnits).find((one) => durationUnits[one] === rate.period)
  return `${rate.count}/${unit ?? 'm'}`
}
