/**
 * A date as headers carry it (RFC 5322 section 3.3), always in UTC: `Fri, 21 Nov 2025 08:35:31 +0000`.
 * The last second is remembered, since many messages are stamped in each.
 */
let second = Number.NaN
let printed = ''

/** @param time milliseconds since 1970 */
export function formatDate(time: number): string {
  const wanted = Math.floor(time / 1000)
  if (wanted !== second) {
    second = wanted
    printed = new Date(wanted * 1000).toUTCString().replace('GMT', '+0000')
  }
  return printed
}
