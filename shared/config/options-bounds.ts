/**
 * The option table: what a listener's clients may ask of memory and patience, one bound for each. See `options.ts`.
 *
 * Bounds that are older have rows beside what they limit: `recipient-limit`, `error-limit`, `session-limit`,
 * `message-size-limit`, `command-timeout`. Each has its reply in `config/replies.md`.
 */
import { one } from './blocks.ts'
import * as t from './types.ts'
import { K } from './units.ts'

const readers = ['mcp', 'smtpd'] as const

export const bounds = {
  'command-length-limit': one(t.size(512, 64 * K), 2 * K, {
    doc: 'Octets of a command line with its CRLF (RFC 5321 section 4.5.3.1.4: at least 512); while users log in, 12288 at least.',
    readers,
  }),
  'transaction-limit': one(t.count(1, 1_000_000_000), 100_000, {
    doc: 'Messages of one session; then it is ended, and the client may connect again.',
    readers,
  }),
  'hop-limit': one(t.count(10, 1000), 100, {
    doc: 'Received fields that a message may have; with more it is going round in circles (RFC 5321 section 6.3).',
    readers,
  }),
  'header-size-limit': one(t.size(8 * K, 256 * K), 256 * K, {
    doc: 'Octets of the header. It is kept in memory while it is looked at.',
    readers,
  }),
  'header-field-limit': one(t.count(50, 100_000), 1000, {
    doc: 'Fields of the header.',
    readers,
  }),
  'header-line-limit': one(t.size(998, 256 * K), 64 * K, {
    doc: 'Octets of a line of the header without its CRLF (RFC 5322 section 2.1.1 allows 998); longer ones than that are passed on as they are.',
    readers,
  }),
  'line-length-limit': one(t.size(0, 256 * K), 0, {
    doc: 'Octets that each line of the content may have without its CRLF, at least 998; 0: no bound, for lines cost no memory.',
    readers,
  }),
  'header-nul': one(t.oneOf('refuse', 'pass'), 'refuse', {
    doc: 'A header with a NUL in it: programs disagree where such a line ends.',
    readers,
  }),
  'body-nul': one(t.oneOf('refuse', 'pass'), 'refuse', {
    doc: 'A body with a NUL in it where the client has not said BODY=BINARYMIME (RFC 5322 section 3.5, RFC 2045 section 2.8): programs cut such a message short. `pass` keeps it as it is.',
    readers,
  }),
  'header-8bit': one(t.oneOf('refuse', 'pass'), 'pass', {
    doc: 'A header with octets beyond ASCII where the client has not asked for SMTPUTF8 (RFC 6532): common, so passed on.',
    readers,
  }),
}
