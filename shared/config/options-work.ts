/**
 * The option table, second part: the processes, each with its limits and times. See `options.ts`.
 */
import { block, many, maybe, one, sectionName } from './blocks.ts'
import { percent } from './load-values.ts'
import { outgoing, PUBLISHED, TLS_DOC, tlsRule } from './options-outgoing.ts'
import { section } from './section.ts'
import * as t from './types.ts'
import { day, G, hour, K, M, minute, second } from './units.ts'
import * as v from './values.ts'

const severities = t.oneOf('debug', 'info', 'warn', 'error', 'fatal')

export const processesBlock = block(
  'processes',
  null,
  'The worker processes: how many, as whom, how they are kept up.',
  {
    smtpd: one(t.count(1, 64), 2, {
      doc: 'Server processes for listeners of type `mx`; they share the listening sockets.',
      readers: ['mcp'],
    }),
    submission: one(t.count(1, 64), 1, {
      doc: 'Server processes for listeners of type `submission` and `local`, who hold what users log in with.',
      readers: ['mcp'],
    }),
    'qmgr-user': one(t.systemName, 'phq', { doc: 'Whom the queue manager runs as.', readers: ['mcp'] }),
    'smtpd-user': one(t.systemName, 'phs', {
      doc: 'Whom the servers for strangers run as.',
      readers: ['mcp'],
    }),
    'submission-user': one(t.systemName, 'phm', {
      doc: 'Whom the servers for users and local programs run as.',
      readers: ['mcp'],
    }),
    'smtpc-user': one(t.systemName, 'phc', { doc: 'Whom the SMTP client runs as.', readers: ['mcp'] }),
    'resolver-user': one(t.systemName, 'phr', { doc: 'Whom the resolver runs as.', readers: ['mcp'] }),
    'unbound-user': one(t.systemName, 'phv', {
      doc: 'Whom unbound runs as, where `dnssec` is `unbound`.',
      readers: ['mcp'],
    }),
    group: one(t.systemName, 'posthorn', {
      doc: 'The group that may reach the bus.',
      readers: ['mcp'],
    }),
    'restart-budget': one(t.count(1, 1000), 10, {
      doc: 'Restarts of one worker within `restart-window` before it is given up.',
      readers: ['mcp'],
    }),
    'restart-window': one(t.duration(second, day), minute, {
      doc: 'The time over which restarts are counted.',
      readers: ['mcp'],
    }),
    'restart-delay': one(t.duration(0, minute), 100, {
      doc: 'Wait before the first restart; it doubles with each further one.',
      readers: ['mcp'],
    }),
    'restart-delay-limit': one(t.duration(0, hour), 30 * second, {
      doc: 'The longest wait before a restart.',
      readers: ['mcp'],
    }),
    'heartbeat-interval': one(t.duration(50, 10 * minute), 5 * second, {
      doc: 'How often each worker is asked whether it lives.',
      readers: ['mcp'],
    }),
    'heartbeat-patience': one(t.duration(100, hour), 20 * second, {
      doc: 'A worker that says nothing for so long is killed and started again.',
      readers: ['mcp'],
    }),
    'drain-timeout': one(t.duration(0, hour), 30 * second, {
      doc: 'How long workers may finish what is in hand when the server stops.',
      readers: ['mcp'],
    }),
  },
)

export const channelBlock = block('channel', sectionName, 'One place that log lines go to.', {
  file: maybe(v.logFile, {
    doc: 'A file; with `size` it is put aside when it grows past that, and `versions` old ones are kept.',
    readers: ['mcp'],
  }),
  stderr: one(t.presence, false, { doc: 'The standard error of the server.', readers: ['mcp'] }),
  severity: one(severities, 'info', { doc: 'The least severity that is written.', readers: ['mcp'] }),
})

export const loggingBlock = block(
  'logging',
  null,
  'Where log lines go. Without it: to standard error, from `info` up.',
  {
    channel: many(section(channelBlock), { doc: 'A place that log lines go to.', readers: ['mcp'] }),
    category: many(v.category(t.braced(v.reference, 20)), {
      doc: 'Which channels get the lines; `default` is all lines.',
      usual: 'all channels',
      readers: ['mcp'],
    }),
  },
)

export const controlsBlock = block('controls', null, 'How the running server is controlled.', {
  unix: one(
    v.socketFile(0o660),
    { path: 'control.sock', mode: 0o660 },
    {
      doc: 'The socket of `posthorn status`, `reload` and `stop`, relative to `run-directory`.',
      readers: ['mcp'],
    },
  ),
  queue: one(t.runPath, 'queue.sock', {
    doc: 'The socket of `posthorn queue` and `mailq`, relative to `run-directory`.',
    readers: ['mcp'],
  }),
  users: one(t.braced(v.userOrUid, 100), [], {
    doc: 'Users besides root who may look at and change the whole queue.',
    readers: ['qmgr'],
  }),
})

export const qmgrBlock = block(
  'qmgr',
  null,
  'The queue: what it holds, how often it tries, when it gives up.',
  {
    'active-entries': one(t.count(10, 1_000_000), 20_000, {
      doc: 'Messages that are worked on at one time.',
      readers: ['qmgr'],
    }),
    'active-size': one(t.size(M, 64 * G), 64 * M, {
      doc: 'Content that is kept in memory for them.',
      readers: ['qmgr'],
    }),
    'inline-limit': one(t.size(16 * K, 8 * M), 128 * K, {
      doc: 'Content up to this size lives in the database, larger content in a file of its own.',
      readers: ['smtpd'],
    }),
    retry: one(t.series(t.duration(100, 30 * day), 64), [5 * minute, 15 * minute, hour, 4 * hour], {
      doc: 'Waits before the second, third and further attempts; the last one repeats.',
      readers: ['qmgr'],
    }),
    lifetime: one(t.duration(second, 100 * day), 5 * day, {
      doc: 'A message that cannot be delivered for so long is returned (RFC 5321 section 4.5.4.1).',
      readers: ['qmgr'],
    }),
    'bounce-lifetime': one(t.duration(second, 100 * day), day, {
      doc: 'The same for messages with an empty reverse-path, which are dropped.',
      usual: '`1d`, or `lifetime` when that is shorter',
      readers: ['qmgr'],
    }),
    'removed-keep': one(t.duration(0, 100 * day), day, {
      doc: 'What `posthorn queue remove` took out can be restored for so long.',
      readers: ['qmgr'],
    }),
    'delay-warning': one(t.duration(0, 100 * day), 4 * hour, {
      doc: 'The sender is told of a delay after so long; 0: never.',
      readers: ['qmgr'],
    }),
    'return-limit': one(t.size(0, 8 * M), 64 * K, {
      doc: 'The largest message that goes back whole with the report of a failure, where the sender asked for that; of others the header does.',
      readers: ['qmgr'],
    }),
    'initial-connections': one(t.count(1, 10_000), 5, {
      doc: 'Connections to a destination, and to all of one provider, at first.',
      readers: ['qmgr'],
    }),
    'max-connections': one(t.count(1, 10_000), 20, {
      doc: 'Connections to a destination, and to all of one provider, at most, where no `server` section says otherwise.',
      readers: ['qmgr'],
    }),
    'known-providers': one(t.oneOf('yes', 'no'), 'yes', {
      doc: 'Big providers are treated politely by built-in `server` and `retry-class` sections; see the end of this manual.',
      readers: ['qmgr'],
    }),
    'recipients-per-transaction': one(t.count(1, 1000), 100, {
      doc: 'Recipients that are sent together (RFC 5321 section 4.5.3.1.8: others take at least 100).',
      readers: ['qmgr'],
    }),
    'min-free-space': one(t.size(0, 1024 * G), 64 * M, {
      doc: 'With less free space on the disk of `directory`, new mail is answered with 452.',
      readers: ['qmgr'],
    }),
    'session-limit': one(t.count(1, 1_000_000), 1000, {
      doc: 'Sessions of all listeners together.',
      readers: ['qmgr'],
    }),
    'local-reserve': one(percent, 0.05, {
      doc: 'The share of `session-limit` that is kept for local programs, whoever calls from the network.',
      readers: ['qmgr'],
    }),
    'remote-reserve': one(percent, 0.05, {
      doc: 'The share of `session-limit` that is kept for the network, whatever local programs do.',
      readers: ['qmgr'],
    }),
    'destination-backlog': one(t.count(1, 100_000_000), 500_000, {
      doc: 'Recipients that may be queued for one next hop; more of them get 452 at RCPT.',
      readers: ['qmgr'],
    }),
  },
)

export const ldaBlock = block('lda', null, 'Local delivery.', {
  limit: one(t.count(1, 1000), 20, {
    doc: 'Delivery processes at one time, one for each recipient user.',
    readers: ['qmgr'],
  }),
  'idle-timeout': one(t.duration(100, day), minute, {
    doc: 'A delivery process without work leaves after so long.',
    readers: ['lda'],
  }),
  'command-timeout': one(t.duration(100, day), 10 * minute, {
    doc: 'A command that mail is given to (`deliver pipe`, aliases) is killed after so long, with all that it started; the mail is tried again.',
    readers: ['lda'],
  }),
  'mailbox-lifetime': one(t.duration(minute, 365 * day), 14 * day, {
    doc: 'For so long mail waits for a mailbox that is full, locked, not mounted or not as it must be, before it returns; a `class` that fits the reply comes first.',
    readers: ['qmgr'],
  }),
})

export const smtpcBlock = block('smtpc', null, 'Sending to other servers.', {
  ...outgoing(null, 'none'),
  tls: one(tlsRule, PUBLISHED, { doc: TLS_DOC, readers: ['smtpc'] }),
  'eight-bit': one(t.oneOf('downgrade', 'refuse'), 'downgrade', {
    doc: 'Content with octets beyond ASCII, for a host that does not take 8BITMIME: encoded anew, or returned with 5.6.3. What is signed, by multipart/signed or DKIM, is always returned.',
    readers: ['smtpc'],
  }),
  'connection-idle': one(t.duration(0, 10 * minute), 5 * second, {
    doc: 'A connection without work is kept so long for the next message.',
    readers: ['smtpc'],
  }),
  'transactions-per-connection': one(t.count(1, 1_000_000), 1000, {
    doc: 'Messages over one connection at most.',
    readers: ['smtpc'],
  }),
  'connect-timeout': one(t.duration(100, hour), 30 * second, {
    doc: 'For the TCP connection.',
    readers: ['smtpc'],
  }),
  'greeting-timeout': one(t.duration(100, hour), 5 * minute, {
    doc: 'For the greeting (RFC 5321 section 4.5.3.2.1).',
    readers: ['smtpc'],
  }),
  'helo-timeout': one(t.duration(100, hour), 5 * minute, {
    doc: 'For the reply to EHLO and HELO.',
    readers: ['smtpc'],
  }),
  'mail-timeout': one(t.duration(100, hour), 5 * minute, {
    doc: 'For the reply to MAIL (RFC 5321 section 4.5.3.2.2).',
    readers: ['smtpc'],
  }),
  'rcpt-timeout': one(t.duration(100, hour), 5 * minute, {
    doc: 'For the reply to RCPT (RFC 5321 section 4.5.3.2.3).',
    readers: ['smtpc'],
  }),
  'data-initiation-timeout': one(t.duration(100, hour), 2 * minute, {
    doc: 'For the reply to DATA (RFC 5321 section 4.5.3.2.4).',
    readers: ['smtpc'],
  }),
  'data-block-timeout': one(t.duration(100, hour), 3 * minute, {
    doc: 'For each piece of content to be taken (RFC 5321 section 4.5.3.2.5).',
    readers: ['smtpc'],
  }),
  'data-termination-timeout': one(t.duration(100, hour), 10 * minute, {
    doc: 'For the reply to the final dot (RFC 5321 section 4.5.3.2.6).',
    readers: ['smtpc'],
  }),
  'quit-timeout': one(t.duration(100, hour), 10 * second, {
    doc: 'For the reply to QUIT.',
    readers: ['smtpc'],
  }),
})
