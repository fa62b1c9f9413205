/** What is put into queries, and what comes of their rows. Pure. */

/** What `:key`, `:user` and `:domain` of SQL stand for, and `%k`, `%u` and `%d` elsewhere. */
export function partsOf(key: string): { key: string; user: string; domain: string } {
  const at = key.lastIndexOf('@')
  return { key, user: at < 0 ? key : key.slice(0, at), domain: at < 0 ? '' : key.slice(at + 1) }
}

/** @param harmless makes any text harmless where it goes. */
export function fillIn(template: string, key: string, harmless: (text: string) => string): string {
  const { user, domain } = partsOf(key)
  const by: Readonly<Record<string, string>> = { '%k': key, '%u': user, '%d': domain }
  return template.replace(/%[kud]/g, (one) => harmless(by[one] ?? ''))
}

/** Columns by `:`, rows by `, `; what is NULL is empty. Null: nothing was found, or nothing but NULL. */
export function joinRows(rows: readonly (readonly unknown[])[]): string | null {
  const texts = rows.filter((row) => row.some((one) => one !== null)).map((row) => row.map(textOf).join(':'))
  return texts.length === 0 ? null : texts.join(', ')
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return ''
  return Buffer.isBuffer(value) ? value.toString('utf8') : String(value)
}
