/**
 * The option table, first part: what mail is taken in and what becomes of it. See `options.ts`.
 */
import { block, everyone, many, maybe, needed, one, sectionName } from './blocks.ts'
import { type Delivery, delivery } from './delivery-values.ts'
import { authUse } from './login-values.ts'
import { mapName, table } from './map-values.ts'
import { allOf, matchList } from './match-list.ts'
import { bounds } from './options-bounds.ts'
import { outgoing } from './options-outgoing.ts'
import { patience } from './options-patience.ts'
import { hosts } from './options-routing.ts'
import { schedule } from './options-servers.ts'
import type { OwnReply } from './routing-slice.ts'
import { ownReply, usualReply } from './routing-values.ts'
import * as t from './types.ts'
import { day, G, hour, K, M, minute } from './units.ts'
import * as v from './values.ts'

export const optionsBlock = block('options', null, 'What concerns the whole server.', {
  hostname: maybe(t.fullDomain, {
    doc: 'The name by which the server greets, signs Received fields and introduces itself to others.',
    usual: "the machine's name",
    readers: everyone,
  }),
  directory: one(t.path, '/var/spool/posthorn', {
    doc: 'The spool: the queue and its content; beside it what others keep: policies of MTA-STS, greylisting, keys of DNSSEC.',
    readers: ['mcp', 'qmgr', 'resolver'],
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
    readers: ['lda', 'smtpd'],
  }),
  'message-size-limit': one(t.size(64 * K, 2 * G), 50 * M, {
    doc: 'The largest message that is accepted, where the listener says nothing else (RFC 1870).',
    readers: ['mcp', 'qmgr', 'smtpd'],
  }),
  'minimum-uid': one(t.count(1, 2 ** 31), 1000, {
    doc: 'System users below this number get no mail, and no process runs as them to deliver it.',
    readers: ['mcp', 'qmgr', 'resolver'],
  }),
  aliases: many(t.series(table, 20), {
    doc: 'Files of aliases, and maps, for all local zones; asked after those of the zone.',
    usual: 'none',
    readers: ['resolver'],
  }),
  'alias-user': maybe(t.systemName, {
    doc: 'The user as whom commands (`|command`) and files (`/path`) in aliases are run and written.',
    usual: 'aliases name neither',
    readers: ['lda', 'resolver'],
  }),
})

const tcp = ['mx', 'submission', 'lmtp'] as const

export const listenerBlock = block('listener', sectionName, 'Where mail is taken in.', {
  type: maybe(t.oneOf('mx', 'submission', 'local', 'lmtp'), {
    doc: "`mx`: from strangers; `submission`: from users, whose messages are completed; `local`: a socket for this machine's programs; `lmtp`: from a server in front of this one (RFC 2033).",
    usual: 'by `socket`, the name or the port',
    readers: ['mcp', 'smtpd'],
  }),
  port: maybe(t.count(0, 65_535, 'PORT'), {
    doc: 'The TCP port; 0 lets the system choose, for tests.',
    readers: ['mcp', 'smtpd'],
    only: tcp,
  }),
  address: many(t.series(v.bindAddress, 100), {
    doc: 'Addresses to listen on; `any` is all of them.',
    usual: '`any`',
    readers: ['mcp', 'smtpd'],
    only: tcp,
  }),
  socket: maybe(v.socketFile(0o666), {
    doc: 'A unix socket, relative to `run-directory`.',
    readers: ['mcp', 'smtpd'],
    only: ['local', 'lmtp'],
  }),
  tls: maybe(v.tlsUse, {
    doc: 'The `tls` section to use: offered (`starttls`), demanded before mail (`required`), or from the first octet (`implicit`).',
    usual: 'none; the way: `implicit` on port 465, else `starttls`',
    readers: ['mcp', 'smtpd'],
    only: tcp,
  }),
  sni: many(t.series(v.reference, 100), {
    doc: 'Further `tls` sections: a client that asks for a name gets the certificate that is for it (RFC 6066).',
    readers: ['mcp', 'smtpd'],
    only: tcp,
  }),
  auth: maybe(authUse, {
    doc: 'The `auth` section by which users log in; who has logged in may relay. `required`: no mail before that.',
    usual: 'nobody logs in; the way: `required`',
    readers: ['mcp', 'smtpd'],
    only: ['submission'],
  }),
  'auth-without-tls': one(t.oneOf('yes', 'no'), 'no', {
    doc: 'Whether passwords may be said in the clear.',
    readers: ['mcp', 'smtpd'],
    only: ['submission'],
  }),
  'sender-login': maybe(table, {
    doc: 'Who may use which sender: lines `address: login …`, or a map with logins as values; `@domain` stands for all its addresses, `*` for any login.',
    usual: 'who has logged in may use any sender',
    readers: ['mcp', 'smtpd'],
    only: ['submission'],
  }),
  relay: maybe(matchList, {
    doc: 'Clients that may send to domains that are not ours.',
    usual: '`{ none; }`; `local`: `{ any; }`',
    readers: ['mcp', 'smtpd'],
  }),
  allow: one(matchList, allOf('any'), { doc: 'Clients that may connect at all.', readers: ['mcp', 'smtpd'] }),
  'client-names': maybe(t.oneOf('yes', 'no'), {
    doc: 'Whether DNS is asked what a client is called, before its greeting and for 5 s at most: for Received, the log and filters. Lists and rules with `name` have it asked in any case, for the clients about whom it decides.',
    usual: '`yes` where there are `filters`',
    readers: ['mcp', 'smtpd'],
    only: tcp,
  }),
  proxy: one(matchList, allOf('none'), {
    doc: 'Load balancers, which must begin each connection with a PROXY header (version 1 or 2); `allow` and all else go by the client it names.',
    readers: ['mcp', 'smtpd'],
    only: tcp,
  }),
  xclient: one(matchList, allOf('none'), {
    doc: "Hosts that may speak for other clients, and say who has logged in with them, by Postfix's XCLIENT.",
    readers: ['mcp', 'smtpd'],
  }),
  xforward: one(matchList, allOf('none'), {
    doc: "Hosts that may say for the log, by Postfix's XFORWARD, where a message came from.",
    readers: ['mcp', 'smtpd'],
  }),
  vrfy: one(matchList, allOf('none'), {
    doc: 'Clients that are told by VRFY whether an address exists; others get 252 for any.',
    readers: ['mcp', 'smtpd'],
  }),
  expn: one(matchList, allOf('none'), {
    doc: 'Clients that are told by EXPN what an alias stands for; others get 502.',
    readers: ['mcp', 'smtpd'],
  }),
  etrn: one(matchList, allOf('none'), {
    doc: 'Clients that may have the queued mail for a domain tried at once, by ETRN (RFC 1985).',
    readers: ['mcp', 'smtpd'],
  }),
  'greeting-delay': one(t.duration(0, minute), 0, {
    doc: 'Wait before the greeting; who talks earlier is sent away.',
    readers: ['mcp', 'smtpd'],
    only: tcp,
  }),
  'message-size-limit': maybe(t.size(64 * K, 2 * G), {
    doc: 'The largest message that is accepted here.',
    usual: 'as in `options`',
    readers: ['mcp', 'qmgr', 'smtpd'],
  }),
  'recipient-limit': one(t.count(100, 100_000), 1000, {
    doc: 'Recipients of one message (RFC 5321 section 4.5.3.1.8: at least 100).',
    readers: ['mcp', 'smtpd'],
  }),
  'session-limit': one(t.count(1, 100_000), 500, {
    doc: 'Sessions of each server process.',
    readers: ['mcp', 'smtpd'],
  }),
  'error-limit': one(t.count(1, 10_000), 20, {
    doc: 'Errors after which a session is ended.',
    readers: ['mcp', 'smtpd'],
  }),
  'command-timeout': one(t.duration(100, hour), 5 * minute, {
    doc: 'Idle time after which a session is ended (RFC 5321 section 4.5.3.2.7: at least 5 minutes).',
    readers: ['mcp', 'smtpd'],
  }),
  'cut-through': one(t.oneOf('yes', 'no'), 'no', {
    doc: 'Deliver while the client waits for its reply; what is not settled in time is queued first.',
    readers: ['mcp', 'smtpd'],
  }),
  'cut-through-deadline': one(t.duration(100, 5 * minute), 5000, {
    doc: 'How long a client may be kept waiting for that.',
    readers: ['mcp', 'smtpd'],
  }),
  'hold-limit': one(t.duration(0, 366 * day), 7 * day, {
    doc: 'How far ahead a client may put the release of a message (FUTURERELEASE, RFC 4865); 0: not offered.',
    readers: ['mcp', 'smtpd'],
    only: ['submission', 'local'],
  }),
  't-arguments': one(t.oneOf('add', 'remove'), 'add', {
    doc: 'With `sendmail -t`, those on the command line get the message beside those in the header, or do not get it (as with Exim).',
    readers: ['mcp', 'smtpd'],
    only: ['local'],
  }),
  'user-agents': one(t.oneOf('yes', 'no'), 'no', {
    doc: 'Whether mail that leaves the machine goes to the agent of the user who sends it (`posthorn agent`), where that user has one.',
    readers: ['mcp', 'qmgr', 'smtpd'],
    only: ['local'],
  }),
  'require-signature': one(t.oneOf('yes', 'no'), 'no', {
    doc: 'Take only mail that the domains in From and of the reverse-path have signed (DKIM), all of it; a stolen relay cannot originate.',
    readers: ['mcp', 'smtpd'],
  }),
  sign: maybe(t.oneOf('yes', 'no'), {
    doc: 'Whether mail of clients that may relay is signed with the key of its author (`dkim`).',
    usual: '`yes` for `submission` and `local`, else `no`',
    readers: ['mcp', 'qmgr', 'smtpd'],
  }),
  access: many(t.series(v.reference, 20), {
    doc: 'The `access` sections whose rules hold here, in this order.',
    usual: 'none',
    readers: ['mcp', 'smtpd'],
  }),
  screening: maybe(v.reference, {
    doc: 'The `screening` section by which clients are looked at.',
    usual: 'none',
    readers: ['mcp', 'resolver', 'smtpd'],
    only: ['mx'],
  }),
  authenticate: one(t.oneOf('yes', 'no'), 'no', {
    doc: 'Find out who mail is from (SPF, DKIM, DMARC, ARC) and say so in Authentication-Results; who may relay is not looked at.',
    readers: ['mcp', 'smtpd'],
    only: ['mx'],
  }),
  'trusted-sealers': one(t.braced(t.fullDomain, 100), [], {
    doc: 'With `authenticate yes`: domains of mailing lists and forwarders; mail that fails DMARC is let through when they have sealed (ARC) that it had passed with them.',
    readers: ['mcp', 'smtpd'],
    only: ['mx'],
  }),
  filters: one(t.braced(v.reference, 20), [], {
    doc: 'The `filter` sections that are asked about recipients and content, in order.',
    readers: ['mcp', 'smtpd'],
  }),
  'bare-newline': maybe(t.oneOf('refuse', 'normalise'), {
    doc: 'A CR or LF alone in the content: refused with 550 5.6.11, or made CRLF.',
    usual: '`refuse`; `local`: `normalise`',
    readers: ['mcp', 'smtpd'],
  }),
  ...bounds,
  ...patience,
})

export const zoneBlock = block(
  'zone',
  v.zoneName,
  'What becomes of mail for a domain; `.` is every other domain, `*.x` all below x.',
  {
    type: needed(t.oneOf('local', 'relay', 'backup', 'remote', 'error', 'discard'), {
      doc: "`local`: into mailboxes here; `relay`: to `hosts` or a `relay` section; `remote`: to the domain's mail exchangers; `backup`: taken from everyone for those of the domain's exchangers that stand before this machine (RFC 5321 section 5.1); `error`: refused with `reply`; `discard`: taken and dropped.",
      readers: ['qmgr', 'resolver'],
    }),
    'cut-through': one(t.oneOf('yes', 'no'), 'yes', {
      doc: 'Whether mail for this zone may be delivered while the client waits, where the listener does that.',
      readers: ['resolver'],
    }),
    'cut-through-deadline': one(t.duration(100, 5 * minute), 5 * minute, {
      doc: "How long a client may wait for this zone; the listener's `cut-through-deadline` holds as well.",
      readers: ['resolver'],
    }),
    'require-signature': one(t.oneOf('yes', 'no'), 'no', {
      doc: 'Mail goes to this zone only if its sender has signed it, as for a listener; with zone `.`, nothing leaves unsigned.',
      readers: ['resolver'],
    }),
    sign: one(t.braced(v.reference, 20), [], {
      doc: 'The `dkim` sections whose keys sign what authors of this zone send; the same as the zone in their `domains`.',
      readers: ['qmgr', 'smtpd'],
    }),
    forged: one(t.oneOf('tag', 'quarantine', 'reject'), 'tag', {
      doc: "Mail that fails DMARC, where the listener has `authenticate yes` and the author's domain asks for it: only marked; held in the queue; refused, and held if the domain asks for no more.",
      readers: ['resolver'],
    }),
    mailboxes: one<v.Mailboxes>(
      v.mailboxes,
      { kind: 'system' },
      {
        doc: 'Who has a mailbox: the users of the system, or those in a file of lines `name:uid:gid:home`, or those of a map, whose values are `home` or `home:maildir`; their files are those of USER.',
        readers: ['resolver'],
        only: ['local'],
      },
    ),
    aliases: many(t.series(table, 20), {
      doc: "Files of aliases in sendmail's format, and maps whose values are the addresses, asked in order.",
      readers: ['resolver'],
      only: ['local'],
    }),
    deliver: one<Delivery>(
      delivery,
      { kind: 'maildir', path: '~/Maildir', encryption: null, folders: false, quota: null },
      {
        doc: "Where mail of users goes: a Maildir; an mbox, which other programs may read and write meanwhile (locks: fcntl and `.lock`); a file, written in the same way but without `.lock`, or `/dev/null`; the standard input of a command; another server by LMTP. PATH begins with `~/`, the home of the user, or has `%u` in it, the name; `%d` is the domain, `%e` what stands behind `recipient-delimiter`, `%h` the home, in arguments of a command too. `folders`: to the folder named by `%e` where the Maildir has it (Maildir++). `quota`: a fuller Maildir gets mail later. `from-line`: `From SENDER DATE` stands on top, as in an mbox. `shell yes`: COMMAND is one text for `/bin/sh -c`. With `encrypt-to` a Maildir gets ciphertext only: for recipients of age, or by gpg for a fingerprint or an address in the user's keyring; each KEY may be a file, `~/PATH` or `/PATH`. From, To, Date and Message-ID stay readable with `show-header`, Subject never.",
        readers: ['resolver', 'lda'],
        only: ['local'],
      },
    ),
    'no-mail': one(t.braced(t.systemName, 1000), [], {
      doc: 'With `mailboxes system`: users of the system that have no mailbox here; aliases of their names hold.',
      readers: ['resolver'],
      only: ['local'],
    }),
    'catch-all': maybe(v.catchAll, {
      doc: 'Who gets mail for names that nobody has; a name without a domain is one of this zone.',
      usual: 'nobody: they are refused',
      readers: ['resolver'],
      only: ['local'],
    }),
    forward: maybe(t.oneOf('yes', 'no'), {
      doc: "Whether mail goes where a user's `~/.forward` says, where that is safe from others.",
      usual: '`yes` with `mailboxes system`, else `no`',
      readers: ['resolver'],
      only: ['local'],
    }),
    recipients: maybe(mapName, {
      doc: 'All recipients there are, whatever the value says: others are refused here, and not by those hosts.',
      usual: 'all are passed on',
      readers: ['resolver'],
      only: ['relay', 'backup'],
    }),
    hosts: { ...hosts, only: ['relay'] },
    relay: maybe(v.reference, {
      doc: 'The `relay` section to send to, in the place of `hosts`.',
      readers: ['resolver'],
      only: ['relay'],
    }),
    routing: many(t.series(v.reference, 20), {
      doc: 'The `routing` sections whose rules are asked first, in this order.',
      usual: 'none',
      readers: ['resolver'],
      only: ['relay', 'backup', 'remote'],
    }),
    reply: one<OwnReply>(ownReply, usualReply, {
      doc: 'What is said of every recipient; a code that begins with 4 makes them come again.',
      readers: ['resolver'],
      only: ['error'],
    }),
    ...outgoing(['relay', 'backup', 'remote'], 'as in `smtpc`'),
    ...schedule,
  },
)
