/** A DKIM record as a zone file has it (RFC 6376 section 3.6.2): strings of at most 255 octets (RFC 1035 section 3.3.14). Pure. */

const LONGEST_STRING = 255

export function zoneLine(selector: string, domain: string, record: string): string {
  const strings = record.match(new RegExp(`.{1,${LONGEST_STRING}}`, 'g')) ?? []
  const name = `${selector}._domainkey.${domain}.`
  if (strings.length === 1) return `${name} IN TXT "${record}"\n`
  return `${name} IN TXT (\n${strings.map((text) => `  "${text}"\n`).join('')})\n`
}
