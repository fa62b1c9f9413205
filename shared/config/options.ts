/**
 * The option table: every statement and option of posthorn.conf, its type, default, range, readers and meaning.
 *
 * The checker, `config/options.md`, `posthorn options`, the defaults (by way of convict, `schema.ts`) and the
 * types of the checked config all come from here. To add an option: a row here, its way into a slice in
 * `slice.ts`, and `config/options.md` written anew.
 */
import { many, maybe, needed, one } from './blocks.ts'
import { allOf, matchList } from './match-list.ts'
import { type BlockType, type Options, section } from './section.ts'
import * as t from './types.ts'
import { bad, ok } from './units.ts'
import * as v from './values.ts'

const K = 2 ** 10
const M = 2 ** 20
const G = 2 ** 30
const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

const everyone = ['mcp', 'qmgr', 'smtpd', 'smtpc', 'resolver', 'lda'] as const

function block<O extends Options>(
  name: string,
  title: t.Type<string> | null,
  doc: string,
  options: O,
): BlockType<O> {
  return { name, title, doc, options, homeOf }
}

const severities = t.oneOf('debug', 'info', 'warn', 'error', 'fatal')

const sectionName: t.Type<string> = {
  syntax: '"NAME"',
  read: (args) =>
    args.parse('"NAME"', (text) =>
      /^[a-z0-9][a-z0-9_.-]{0,63}$/i.test(text)
        ? ok(text)
        : bad(`\`${text}\` is no name`, 'letters, digits, `_`, `.` and `-`, at most 64'),
    ),
  valid: (value) => typeof value === 'string',
  print: t.quote,
}

const zoneName: t.Type<string> = {
  syntax: '"DOMAIN"',
  read: (args) =>
    args.parse('"DOMAIN"', (text) => {
      if (text === '.') return ok(text)
      const [, wild = '', rest = ''] = /^(\*\.)?(.*)$/s.exec(text) ?? []
      const name = t.toDomain(rest)
      return name === null ? bad(`\`${text}\` is no domain`, 'a domain, `*.domain` or `.`') : ok(wild + name)
    }),
  valid: (value) => typeof value === 'string',
  print: t.quote,
}

const hostPattern: t.Type<string> = {
  syntax: '"HOST"',
  read: (args) =>
    args.parse('"HOST"', (text) =>
      /^[a-z0-9_*.:-]{1,253}$/i.test(text)
        ? ok(text.toLowerCase())
        : bad(`\`${text}\` is no pattern for hosts`, 'a host name or address; `*` stands for anything'),
    ),
  valid: (value) => typeof value === 'string',
  print: t.quote,
}

export const optionsBlock = block('options', null, 'What concerns the whole server.', {
  hostname: maybe(t.fullDomain, {
    doc: 'The name by which the server greets, signs Received fields and introduces itself to others.',
    usual: "the machine's name",
    readers: everyone,
  }),
  directory: one(t.path, '/var/spool/posthorn', {
    doc: 'The spool: the queue and its content.',
    readers: ['mcp', 'qmgr'],
  }),
  'run-directory': maybe(t.path, {
    doc: 'Holds the pid file, the sockets of control and local submission, and the bus.',
    usual: '`/run/posthorn`, or `run` in a `directory` of your own',
    readers: ['mcp'],
  }),
  'pid-file': one(t.runPath, 'posthorn.pid', {
    doc: 'The pid file, relative to `run-directory`.',
    readers: ['mcp'],
  }),
  'qualify-domain': maybe(t.fullDomain, {
    doc: 'Completes addresses without a domain on submission and local listeners.',
    usual: '`hostname`',
    readers: ['smtpd'],
  }),
  'message-size-limit': one(t.size(64 * K, 2 * G), 50 * M, {
    doc: 'The largest message that is accepted, where the listener says nothing else (RFC 1870).',
    readers: ['smtpd', 'qmgr'],
  }),
  'minimum-uid': one(t.count(1, 2 ** 31), 1000, {
    doc: 'System users below this number get no mail, and no process runs as them to deliver it.',
    readers: ['mcp', 'resolver'],
  }),
})

export const processesBlock = block(
  'processes',
  null,
  'The worker processes: how many, as whom, how they are kept up.',
  {
    smtpd: one(t.count(1, 64), 2, {
      doc: 'Server processes; they share the listening sockets.',
      readers: ['mcp'],
    }),
    'qmgr-user': one(t.systemName, 'phq', { doc: 'Whom the queue manager runs as.', readers: ['mcp'] }),
    'smtpd-user': one(t.systemName, 'phs', { doc: 'Whom the SMTP servers run as.', readers: ['mcp'] }),
    'smtpc-user': one(t.systemName, 'phc', { doc: 'Whom the SMTP client runs as.', readers: ['mcp'] }),
    'resolver-user': one(t.systemName, 'phr', { doc: 'Whom the resolver runs as.', readers: ['mcp'] }),
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
  severity: one(severities, 'info', { doc: 'The least severity that is written.', readers: everyone }),
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
    'inline-limit': one(t.size(0, 8 * M), 128 * K, {
      doc: 'Content up to this size lives in the database, larger content in a file of its own.',
      readers: ['qmgr'],
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
      readers: ['qmgr'],
    }),
    'delay-warning': one(t.duration(0, 100 * day), 4 * hour, {
      doc: 'The sender is told of a delay after so long; 0: never.',
      readers: ['qmgr'],
    }),
    'initial-connections': one(t.count(1, 10_000), 5, {
      doc: 'Connections to a destination at first.',
      readers: ['qmgr'],
    }),
    'max-connections': one(t.count(1, 10_000), 20, {
      doc: 'Connections to a destination at most, where no `server` section says otherwise.',
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
  },
)

export const ldaBlock = block('lda', null, 'Local delivery.', {
  limit: one(t.count(1, 1000), 20, {
    doc: 'Delivery processes at one time, one for each recipient user.',
    readers: ['qmgr'],
  }),
  'idle-timeout': one(t.duration(100, day), minute, {
    doc: 'A delivery process without work leaves after so long.',
    readers: ['qmgr', 'lda'],
  }),
})

export const smtpcBlock = block('smtpc', null, 'Sending to other servers.', {
  tls: one(t.oneOf('none', 'opportunistic'), 'opportunistic', {
    doc: 'Whether STARTTLS is used where it is offered.',
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

export const resolverBlock = block('resolver', null, 'Name service and addresses.', {
  nameservers: one(t.braced(v.nameServer, 8), [], {
    doc: 'The name servers to ask, in order.',
    usual: 'those of `/etc/resolv.conf`',
    readers: ['resolver'],
  }),
  timeout: one(t.duration(50, minute), 5 * second, {
    doc: 'For one question to one name server.',
    readers: ['resolver'],
  }),
  attempts: one(t.count(1, 10), 2, { doc: 'Rounds over all name servers.', readers: ['resolver'] }),
  'cache-entries': one(t.count(0, 10_000_000), 10_000, {
    doc: 'Answers that are kept for their time to live.',
    readers: ['resolver'],
  }),
  'smtp-port': one(t.port, 25, {
    doc: 'The port of mail exchangers, for test networks.',
    readers: ['resolver'],
  }),
  'recipient-delimiter': one(recipientDelimiter(), '+', {
    doc: 'Separates user and detail in local addresses, `user+detail`; empty for none.',
    readers: ['resolver'],
  }),
})

export const tlsBlock = block('tls', sectionName, 'A certificate with its key, for listeners.', {
  certificate: needed(t.path, { doc: 'The certificate with its chain, PEM.', readers: ['smtpd'] }),
  key: needed(t.path, { doc: 'The private key, PEM.', readers: ['smtpd'] }),
})

const tcp = ['mx', 'submission'] as const

export const listenerBlock = block('listener', sectionName, 'Where mail is taken in.', {
  type: maybe(t.oneOf('mx', 'submission', 'local'), {
    doc: "`mx`: from strangers; `submission`: from users, whose messages are completed; `local`: a socket for this machine's programs.",
    usual: 'by `socket`, the name or the port',
    readers: ['smtpd', 'mcp'],
  }),
  port: maybe(t.count(0, 65_535, 'PORT'), {
    doc: 'The TCP port; 0 lets the system choose, for tests.',
    readers: ['mcp'],
    only: tcp,
  }),
  address: many(t.series(v.bindAddress, 100), {
    doc: 'Addresses to listen on; `any` is all of them.',
    usual: '`any`',
    readers: ['mcp'],
    only: tcp,
  }),
  socket: maybe(v.socketFile(0o666), {
    doc: 'A unix socket, relative to `run-directory`.',
    readers: ['mcp'],
    only: ['local'],
  }),
  tls: maybe(v.tlsUse, {
    doc: 'The `tls` section to use: offered (`starttls`), demanded before mail (`required`), or from the first octet (`implicit`).',
    usual: '`implicit` on port 465, else `starttls`',
    readers: ['smtpd'],
    only: tcp,
  }),
  relay: maybe(matchList, {
    doc: 'Clients that may send to domains that are not ours.',
    usual: '`{ none; }`; `local`: `{ any; }`',
    readers: ['smtpd'],
  }),
  allow: one(matchList, allOf('any'), { doc: 'Clients that may connect at all.', readers: ['smtpd'] }),
  'greeting-delay': one(t.duration(0, minute), 0, {
    doc: 'Wait before the greeting; who talks earlier is sent away.',
    readers: ['smtpd'],
    only: tcp,
  }),
  'message-size-limit': maybe(t.size(64 * K, 2 * G), {
    doc: 'The largest message that is accepted here.',
    usual: 'as in `options`',
    readers: ['smtpd', 'qmgr'],
  }),
  'recipient-limit': one(t.count(100, 100_000), 1000, {
    doc: 'Recipients of one message (RFC 5321 section 4.5.3.1.8: at least 100).',
    readers: ['smtpd'],
  }),
  'session-limit': one(t.count(1, 100_000), 500, {
    doc: 'Sessions of each server process.',
    readers: ['smtpd'],
  }),
  'error-limit': one(t.count(1, 10_000), 20, {
    doc: 'Errors after which a session is ended.',
    readers: ['smtpd'],
  }),
  'command-timeout': one(t.duration(100, hour), 5 * minute, {
    doc: 'Idle time after which a session is ended (RFC 5321 section 4.5.3.2.7: at least 5 minutes).',
    readers: ['smtpd'],
  }),
  'bare-newline': maybe(t.oneOf('refuse', 'normalise'), {
    doc: 'A CR or LF alone in the content: refused with 550 5.6.11, or made CRLF.',
    usual: '`refuse`; `local`: `normalise`',
    readers: ['smtpd'],
  }),
})

export const zoneBlock = block(
  'zone',
  zoneName,
  'What becomes of mail for a domain; `.` is every other domain, `*.x` all below x.',
  {
    type: needed(t.oneOf('local', 'relay', 'remote'), {
      doc: "`local`: into mailboxes here; `relay`: to `hosts`; `remote`: to the domain's mail exchangers.",
      readers: ['resolver'],
    }),
    mailboxes: one<v.Mailboxes>(
      v.mailboxes,
      { kind: 'system' },
      {
        doc: 'Who has a mailbox: the users of the system, or those in a file of lines `name:uid:gid:home`.',
        readers: ['resolver'],
        only: ['local'],
      },
    ),
    aliases: many(t.series(t.path, 20), {
      doc: "Files of aliases in sendmail's format, asked in order.",
      readers: ['resolver'],
      only: ['local'],
    }),
    deliver: one(v.delivery, '~/Maildir', {
      doc: "The mailbox: a Maildir below the user's home.",
      readers: ['resolver'],
      only: ['local'],
    }),
    hosts: one(t.braced(v.nextHop, 50), [], {
      doc: 'The hosts to send to, in order; port 25 for smtp, 24 for lmtp.',
      readers: ['resolver'],
      only: ['relay'],
    }),
  },
)

export const serverBlock = block(
  'server',
  hostPattern,
  'How servers of others are treated, by their host names or addresses.',
  {
    'max-connections': maybe(t.count(1, 10_000), {
      doc: 'Connections at most.',
      usual: 'as in `qmgr`',
      readers: ['qmgr'],
    }),
    rate: maybe(t.rate, {
      doc: 'Deliveries in a time at most: `60/m`.',
      usual: 'no limit',
      readers: ['qmgr'],
    }),
  },
)

function recipientDelimiter(): t.Type<string> {
  return {
    syntax: '"CHARACTER"',
    read: (args) =>
      args.parse('"CHARACTER"', (text) =>
        /^[!#$%&'*+/=?^_`{|}~-]?$/.test(text)
          ? ok(text)
          : bad(
              `\`${text}\` is no delimiter`,
              'one character that may stand in an address, such as `+`, or ""',
            ),
      ),
    valid: (value) => typeof value === 'string' && value.length <= 1,
    print: t.quote,
  }
}

/** In the order of the manual. */
export const allBlocks: readonly BlockType[] = [
  optionsBlock,
  tlsBlock,
  listenerBlock,
  zoneBlock,
  serverBlock,
  qmgrBlock,
  ldaBlock,
  smtpcBlock,
  resolverBlock,
  processesBlock,
  loggingBlock,
  channelBlock,
  controlsBlock,
]

function homeOf(option: string): string | null {
  const found = allBlocks.find((candidate) => Object.hasOwn(candidate.options, option))
  if (found) return `in \`${found.name}\``
  return allBlocks.some(({ name }) => name === option) || option === 'acl'
    ? 'at the top level, outside of all braces'
    : null
}
