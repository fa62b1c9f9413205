/**
 * Names of Maildir files (https://cr.yp.to/proto/maildir.html): `1763711623.M123000P77R9f3a01c2Q12.host`.
 *
 * Seconds, microseconds, pid and a counter are the recipe; the random word drawn at start-up is what keeps two
 * lives of a process apart when the clock is set back and the kernel gives the pid again. The host name stands
 * for NFS, where several machines write into one Maildir; `/` and `:` in it are written as octal escapes.
 */

export interface Writer {
  host: string
  pid: number
  /** Eight hexadecimal digits, drawn once for each process. */
  salt: string
}

/** @param now milliseconds since 1970; @param count how many names this process made before. */
export function uniqueName(writer: Writer, now: number, count: number): string {
  const seconds = Math.floor(now / 1000)
  const micros = Math.floor((now - seconds * 1000) * 1000)
  return `${seconds}.M${micros}P${writer.pid}R${writer.salt}Q${count}.${escapeHost(writer.host)}`
}

export function escapeHost(host: string): string {
  return host.replace(/[/:]/g, (character) => (character === '/' ? '\\057' : '\\072')) || 'localhost'
}
