/**
 * Tag lists (RFC 6376 section 3.2): `a=rsa-sha256; d=example.org; b=…`, in signatures and in key records.
 * Pure; a list that is none is null, and so is one that has a tag twice.
 */

const TAG = /^[ \t\r\n]*([A-Za-z][A-Za-z0-9_]*)[ \t\r\n]*=([^;]*)$/

export function readTags(text: string): ReadonlyMap<string, string> | null {
  const tags = new Map<string, string>()
  const parts = text.split(';')
  // only the last may be empty: a semicolon at the end is allowed
  if (parts.at(-1)?.trim() === '') parts.pop()
  for (const part of parts) {
    const [, name, value = ''] = TAG.exec(part) ?? []
    if (name === undefined || tags.has(name)) return null
    tags.set(name, value.trim())
  }
  return tags
}

/** Base64 and names may be folded anywhere. */
export function withoutSpace(text: string): string {
  return text.replace(/[ \t\r\n]+/g, '')
}
