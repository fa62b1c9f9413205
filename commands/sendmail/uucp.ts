/**
 * The `From ` lines on top of a message that comes by UUCP (RFC 976 section 2.2), from which rmail takes the sender:
 *
 *     From user date remote from host
 *     >From user date remote from host
 *
 * The topmost was written by the last host; each `remote from` is a host on the way back. Pure. A path `host!user` is
 * an address `user@host`, and `one!two!user` is `two!user@one`.
 */
const WHO = /^>?From[ \t]+(\S+)/
const HOST = /[ \t]remote from[ \t]+(\S+)/
const LONGEST_LINE = 1000

/** Null when no line says it. */
export function senderOfEnvelopeLines(lines: readonly string[]): string | null {
  const hosts: string[] = []
  let user: string | null = null
  for (const line of lines) {
    const text = line.slice(0, LONGEST_LINE)
    const who = WHO.exec(text)?.[1]
    const host = HOST.exec(text)?.[1]
    if (who === undefined) continue
    user = who
    if (host !== undefined) hosts.push(host)
  }
  if (user === null) return null
  if (user === '<>' || user === 'MAILER-DAEMON') return ''
  return addressOfPath([...hosts, user].join('!'))
}

function addressOfPath(path: string): string {
  const end = path.indexOf('!')
  if (end === -1) return path
  const rest = path.slice(end + 1)
  // a user who has a domain already has been rewritten on the way
  return rest.includes('@') ? rest.slice(rest.lastIndexOf('!') + 1) : `${rest}@${path.slice(0, end)}`
}
