/**
 * A reply as it stands on the wire (RFC 5321 section 4.2, RFC 2034), and the compile-time check that the digits
 * of a code and of its enhanced code (RFC 3463) agree: `defineReply(550, '4.1.1', …)` does not compile.
 *
 * Texts may come from elsewhere (qmgr, resolver, the config), so nothing but printable ASCII reaches the wire: a
 * line of a reply can only end where we end it.
 */

type Digit = '0' | '1' | '2' | '3' | '4' | '5' | '6' | '7' | '8' | '9'
type CodeText = `${'2' | '3' | '4' | '5'}${'0' | '1' | '2' | '3' | '4' | '5'}${Digit}`
/** The enhanced codes that may stand beside a code: same class; none beside 3xx. */
type EnhancedFor<C extends number> = `${C}` extends `${infer Class extends '2' | '4' | '5'}${string}`
  ? `${Class}.${number}.${number}` | ''
  : ''

export interface SmtpReply {
  readonly code: number
  /** `5.1.1`, or '' where RFC 2034 wants none (greeting, HELO, EHLO, 3xx). */
  readonly enhanced: string
  /** Lines joined by `\n`, without the codes. */
  readonly text: string
}

export function defineReply<const C extends number>(
  code: `${C}` extends CodeText ? C : never,
  enhanced: EnhancedFor<C>,
  text: string,
): SmtpReply {
  return { code, enhanced, text }
}

/** RFC 5321 section 4.5.3.1.5: a reply line is at most 512 octets with code and CRLF. */
const LONGEST_TEXT = 480
const NOT_PRINTABLE = /[^ -~]/g

export function renderReply(reply: SmtpReply): string {
  const { code, enhanced, text } = reply
  const mark = enhanced ? `${enhanced} ` : ''
  if (!text.includes('\n')) return `${code} ${mark}${clean(text)}\r\n`
  const lines = text.split('\n')
  const last = lines.length - 1
  return lines.map((line, n) => `${code}${n < last ? '-' : ' '}${mark}${clean(line)}\r\n`).join('')
}

function clean(line: string): string {
  const short = line.length > LONGEST_TEXT ? line.slice(0, LONGEST_TEXT) : line
  return short.replace(NOT_PRINTABLE, '?')
}
