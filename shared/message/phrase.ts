/**
 * A name as header fields carry it beside an address (RFC 5322 section 3.2.5): atoms, a quoted string, or, beyond
 * ASCII, encoded words (RFC 2047). Pure; no line end or control character leaves it.
 */

/** An encoded word has at most 75 characters (RFC 2047 section 2): 45 octets in base64 are 60. */
const WORD_OCTETS = 45

export function renderPhrase(name: string): string {
  if (/^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~ ]+$/.test(name)) return name
  if (/^[\x20-\x7e]+$/.test(name)) return `"${name.replace(/[\\"]/g, '\\$&')}"`
  return encodedWords(name)
}

function encodedWords(text: string): string {
  const words: string[] = []
  let word = ''
  for (const character of text) {
    if (Buffer.byteLength(word + character) > WORD_OCTETS) {
      words.push(word)
      word = ''
    }
    word += character
  }
  words.push(word)
  return words.map((one) => `=?utf-8?B?${Buffer.from(one).toString('base64')}?=`).join('\r\n ')
}
