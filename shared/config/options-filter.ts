/**
 * The option table, sixth part: filters, which look at mail while its client waits. See `options.ts`.
 */
import { block, many, maybe, one, sectionName } from './blocks.ts'
import { filterAddress } from './filter-values.ts'
import * as t from './types.ts'
import { hour, minute, second } from './units.ts'

export const filterBlock = block(
  'filter',
  sectionName,
  'A program that looks at mail while its client waits, and may refuse or change it.',
  {
    milter: maybe(filterAddress, {
      doc: "Where it listens, if it speaks sendmail's milter protocol (version 2 to 6).",
      readers: ['mcp', 'smtpd'],
    }),
    policy: maybe(filterAddress, {
      doc: "Where it listens, if it speaks Postfix's policy delegation protocol (postgrey, policyd-spf).",
      readers: ['mcp', 'smtpd'],
    }),
    'policy-stages': many(t.series(t.oneOf('rcpt', 'data', 'end-of-message'), 3), {
      doc: 'When a policy server is asked: about each recipient, at DATA, at the end of the content.',
      usual: '`rcpt`',
      readers: ['mcp', 'smtpd'],
    }),
    rspamd: maybe(filterAddress, {
      doc: "Where rspamd's normal worker listens for HTTP (port 11333); its own milter is the proxy worker.",
      readers: ['mcp', 'smtpd'],
    }),
    'on-failure': one(t.oneOf('accept', 'tempfail', 'reject'), 'tempfail', {
      doc: 'What becomes of mail while it cannot be asked: it goes on without it, is put off with 451, or refused with 550.',
      readers: ['mcp', 'smtpd'],
    }),
    'connect-timeout': one(t.duration(100, hour), 10 * second, {
      doc: 'How long it may take to connect and to agree on terms.',
      readers: ['mcp', 'smtpd'],
    }),
    timeout: one(t.duration(100, hour), 30 * second, {
      doc: 'How long it may take for each answer; a sign of progress begins it anew.',
      readers: ['mcp', 'smtpd'],
    }),
    'content-timeout': one(t.duration(100, hour), 5 * minute, {
      doc: 'The same, for the answer to the end of the content.',
      readers: ['mcp', 'smtpd'],
    }),
  },
)
