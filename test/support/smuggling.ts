/**
 * What smugglers send: an end of data that is none for whoever keeps to CRLF.CRLF, and behind it a transaction of
 * their own that a lax server would take for commands. For tests of smtpd with and without a socket.
 */

/** Each has a bare CR or LF in it. */
export const IMPOSTORS = [
  '\n.\n',
  '\n.\r\n',
  '\r.\r',
  '\r.\n',
  '\r\n.\n',
  '\r\n.\r',
  '\r.\r\n',
  '\n\n.\r\n',
  '\r\n\n.\n',
  '\r\n.\r\r\n',
] as const

const INSIDE =
  'MAIL FROM:<smuggler@client.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n'

export const FIRST = 'Subject: first\r\n\r\nfirst'

/** Content with an impostor in the middle; with CRLF at its end, without the dot. */
export function smuggling(impostor: string): string {
  return `${FIRST}${impostor}${INSIDE}`
}

/** With its one true end. */
export function framed(framing: 'DATA' | 'BDAT', content: string): string {
  return framing === 'DATA' ? `${content}.\r\n` : `BDAT ${content.length} LAST\r\n${content}`
}

/** A CR or LF by itself. */
export const BARE = /\r(?!\n)|(?<!\r)\n/
