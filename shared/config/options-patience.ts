/**
 * The option table: how long a listener's clients may take for each part of a session, and how long who makes mistakes
 * waits for replies. See `options.ts`.
 *
 * Deadlines are for a part as a whole, however busy the client keeps meanwhile; `command-timeout` is for silence, and
 * for each single command. Time in which the server is waited for does not count.
 */
import { one } from './blocks.ts'
import * as t from './types.ts'
import { day, hour, minute, second } from './units.ts'

const readers = ['mcp', 'smtpd'] as const
const deadline = (usual: number, doc: string) => one(t.duration(100, 30 * day), usual, { doc, readers })

export const patience = {
  'handshake-deadline': deadline(minute, 'Time for a TLS handshake.'),
  'hello-deadline': deadline(
    5 * minute,
    'Time from the greeting, or from the end of a TLS handshake, to EHLO.',
  ),
  'login-deadline': deadline(3 * minute, 'Time from AUTH to the end of a login.'),
  'envelope-deadline': deadline(
    15 * minute,
    'Time from MAIL to the beginning of the content, with all recipients.',
  ),
  'content-deadline': deadline(
    10 * minute,
    'Time for the content of a message, from DATA or the first BDAT on, besides what `content-rate` gives.',
  ),
  'content-rate': one(t.size(1, 2 ** 30), 1024, {
    doc: 'Octets of content that come in a second at least: so many give a second more than `content-deadline`.',
    readers,
  }),
  'session-deadline': deadline(
    6 * hour,
    'Time for a whole session. A transaction in hand is finished first, within its own deadlines: a message of 50 MiB at the least `content-rate` takes 14 hours, and gets them.',
  ),
  'tarpit-delay': one(t.duration(0, 10 * second), second, {
    doc: 'Who makes mistakes waits for replies: so long at the first error beyond `tarpit-after`, twice as long at the next, at most ten times as long; 0: nobody waits.',
    readers,
  }),
  'tarpit-after': one(t.count(0, 10_000), 10, {
    doc: 'Errors of a session (replies 5xx to commands) that cost no wait.',
    readers,
  }),
  'tarpit-sessions': one(t.count(1, 100_000), 100, {
    doc: 'Sessions of each server process that are kept waiting for that at one time; others are answered at once.',
    readers,
  }),
}
