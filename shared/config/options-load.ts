/**
 * The option table, third part: how load is kept within bounds. See `options.ts`.
 */
import { block, many, one } from './blocks.ts'
import { marks, percent, perSecond, quotas } from './load-values.ts'
import { allOf, matchList } from './match-list.ts'
import * as t from './types.ts'
import { G, hour, M, minute, second } from './units.ts'
import * as v from './values.ts'

export const throttleBlock = block(
  'throttle',
  null,
  'What happens when a resource runs short. From `wait` on new sessions are kept waiting before the greeting, from `refuse` on new mail gets 451 or 452, at `relief` all is as before.',
  {
    'active-entries': one(
      marks(percent, 'less'),
      { wait: 2, refuse: 50, relief: 1.5 },
      {
        doc: 'Messages under way, as a share of `active-entries` in `qmgr`, with those that went to disk for lack of room; it counts only while they become more.',
        readers: ['qmgr'],
      },
    ),
    'active-size': one(
      marks(percent, 'less'),
      { wait: 4, refuse: 100, relief: 3 },
      { doc: 'The same for their content, as a share of `active-size` in `qmgr`.', readers: ['qmgr'] },
    ),
    sessions: one(
      marks(percent, 'less'),
      { wait: 0.9, refuse: 1, relief: 0.85 },
      {
        doc: 'Open sessions, as a share of `session-limit` in `qmgr`; from `refuse` on a new one gets 421.',
        readers: ['qmgr'],
      },
    ),
    'intake-rate': one(
      marks(perSecond, 'less'),
      { wait: 20_000, refuse: 50_000, relief: 18_000 },
      { doc: 'Messages accepted in a second.', readers: ['qmgr'] },
    ),
    memory: one(
      marks(t.size(0, 1024 * G), 'less'),
      { wait: 768 * M, refuse: 1024 * M, relief: 704 * M },
      { doc: 'What the queue manager holds resident.', readers: ['qmgr'] },
    ),
    'disk-space': one(
      marks(percent, 'more'),
      { wait: 1.1, refuse: 1, relief: 1.1 },
      { doc: 'Space free for the spool, as a share of `min-free-space` in `qmgr`.', readers: ['qmgr'] },
    ),
    inodes: one(
      marks(t.count(0, 1_000_000_000), 'more'),
      { wait: 110, refuse: 100, relief: 110 },
      { doc: 'Files that can still be made in the spool.', readers: ['qmgr'] },
    ),
    lag: one(
      marks(t.duration(0, minute), 'less'),
      { wait: second, refuse: 10 * second, relief: 500 },
      {
        doc: "How late a process gets to its work: for each worker the lesser of its last two heartbeats' 99th percentile.",
        readers: ['qmgr'],
      },
    ),
    'longest-wait': one(t.duration(0, 4 * minute), 30 * second, {
      doc: 'A session waits no longer than this, then it gets 421 (RFC 5321 section 4.5.3.2.1: clients wait 5 minutes for the greeting).',
      readers: ['qmgr'],
    }),
  },
)

export const limitsBlock = block(
  'limits',
  null,
  'What one client may do: `connections` at one time or, with a time, new ones in it; `messages`, `recipients` and `octets` in a time; `refusals`: recipients that got 5xx, told when a session ends, against those who try names. Who is above gets 421 4.7.0 when connecting and 450 4.7.1 for a message. The message that reaches a limit passes whole.',
  {
    client: many(quotas('connections', 'messages', 'recipients', 'octets', 'refusals'), {
      doc: 'One address.',
      usual: '`connections 50`',
      readers: ['qmgr'],
    }),
    network: many(quotas('connections', 'messages', 'recipients', 'octets', 'refusals'), {
      doc: 'All addresses of a /24, or a /64 of IPv6, together.',
      readers: ['qmgr'],
    }),
    uid: many(quotas('connections', 'messages', 'recipients', 'octets'), {
      doc: 'One local user on the socket of a `local` listener; a `policy` with a `limit` stands in its place.',
      usual: '`connections 100`',
      readers: ['qmgr', 'smtpd'],
    }),
    user: many(quotas('connections', 'messages', 'recipients', 'octets'), {
      doc: 'One authenticated user, from wherever; who is above when it logs in gets 421 4.7.0.',
      readers: ['qmgr'],
    }),
    'client-login-failures': one(
      t.rate,
      { count: 20, period: hour },
      {
        doc: 'Failed logins from one address; from then on it gets 454 4.7.0. `exempt` holds here too.',
        readers: ['qmgr'],
      },
    ),
    'account-login-failures': one(
      t.rate,
      { count: 50, period: hour },
      {
        doc: 'Failed logins of one account; from then on only networks from which it has logged in before may try.',
        readers: ['qmgr'],
      },
    ),
    exempt: one(matchList, allOf('localhost'), {
      doc: 'Addresses to which `client` and `network` do not apply.',
      readers: ['qmgr'],
    }),
    'exempt-users': one(t.braced(v.userOrUid, 100), [0], {
      doc: 'Local users to whom `uid` does not apply.',
      readers: ['qmgr'],
    }),
    'table-size': one(t.count(100, 10_000_000), 50_000, {
      doc: 'Clients, networks and users that are remembered; those not seen for longest are forgotten first.',
      readers: ['qmgr'],
    }),
  },
)
