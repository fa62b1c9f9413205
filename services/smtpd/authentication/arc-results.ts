/**
 * Reads one thing out of an ARC-Authentication-Results field (RFC 8617 section 4.1.1, RFC 8601 section 2.2): whether it
 * says that DMARC has passed for this author. Pure.
 *
 * What stands in quotation marks or comments came from a stranger as like as not (a local part, an explanation), so
 * nothing in there counts. A field that leaves one of them open says nothing.
 */

export function passesDmarc(value: string, from: string): boolean {
  const plain = withoutStrangersWords(value)
  if (plain === null) return false
  return plain.split(';').some((part) => {
    const [method = '', ...properties] = part.trim().toLowerCase().split(/\s+/)
    return method === 'dmarc=pass' && properties.includes(`header.from=${from}`)
  })
}

/** Null: something is not closed. */
function withoutStrangersWords(text: string): string | null {
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
      // what was said around it is not one word
      kept += '?'
    } else kept += char
  }
  return quoted || depth > 0 ? null : kept.replace(/[ \t]*=[ \t]*/g, '=')
}
