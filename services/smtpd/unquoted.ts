/**
 * The value of a header field without its quoted strings and comments (RFC 5322 section 3.2): what strangers may have put
 * in there must not count. Pure.
 */

/** @param instead stands where a quoted string was. Null: something is not closed. */
export function withoutQuotes(text: string, instead = ''): string | null {
  let kept = ''
  let depth = 0
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    if (char === '\\' && (quoted || depth > 0)) at++
    else if (quoted) quoted = char !== '"'
    else if (char === '(') depth++
    else if (depth > 0) depth -= char === ')' ? 1 : 0
    else if (char === '"') {
      quoted = true
      kept += instead
    } else kept += char
  }
  return quoted || depth > 0 ? null : kept
}
