/**
 * Passwords out of a netrc file (ftp(1), curl(1)): `machine HOST login USER password SECRET`, in any order and over
 * any number of lines, `default` for every other host. `macdef` and its lines are passed over. Pure.
 */

/** The password of the user at the host; an entry without a login is for everybody. Null: none. */
export function readNetrc(text: string, host: string, user: string): string | null {
  const words = wordsOf(text)
  let here = false
  let login: string | null = null
  let password: string | null = null
  const found = () => (here && password !== null && (login === null || login === user) ? password : null)
  for (let at = 0; at < words.length; at++) {
    const word = words[at]
    if (word === 'machine' || word === 'default') {
      const before = found()
      if (before !== null) return before
      here = word === 'default' || words[++at]?.toLowerCase() === host.toLowerCase()
      login = null
      password = null
    } else if (word === 'login') login = words[++at] ?? null
    else if (word === 'password') password = words[++at] ?? null
    else if (word === 'account') at++
  }
  return found()
}

/** Blanks part words; quotes hold them together. */
function wordsOf(text: string): string[] {
  const plain = text.replace(/(^|\n)[ \t]*macdef\b[\s\S]*?(\n[ \t]*\n|$)/g, '\n').replace(/(^|\s)#.*/g, '$1')
  return [...plain.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(
    ([, quoted, bare]) => bare ?? (quoted ?? '').replace(/\\(.)/g, '$1'),
  )
}
