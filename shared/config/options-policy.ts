/**
 * The option table, fourth part: who may hand in what. See `options.ts`; the section's meaning is in
 * `services/smtpd/rights.ts`.
 */
import { block, maybe, one, sectionName } from './blocks.ts'
import { quotas } from './load-values.ts'
import * as t from './types.ts'
import { bad, G, K, ok } from './units.ts'

/** A login name, a whole address as login, or a uid. */
const policyUser: t.Type<string | number> = {
  syntax: '"USER" | UID',
  read: (args) => {
    const word = args.peekWord()
    if (word && /^\d+$/.test(word.text)) return t.count(0, 2 ** 32 - 2).read(args)
    return args.parse('"USER"', (text) =>
      /^[^\s*%"<>,;:\\()[\]\p{Cc}]{1,254}$/u.test(text)
        ? ok(text)
        : bad(`\`${text}\` is no user`, 'a login name, or a uid'),
    )
  },
  valid: (value) => typeof value === 'string' || typeof value === 'number',
  print: (value) => (typeof value === 'number' ? String(value) : t.quote(value)),
}

/** `%u@example.org`, `*@example.org`, `%u`. */
const addressPattern: t.Type<string> = {
  syntax: '"PATTERN"',
  read: (args) =>
    args.parse('"PATTERN"', (text) => {
      const example = 'such as `%u@example.org`, `%u` or `*@lists.example.org`'
      if (/%(?!u)/.test(text)) return bad(`\`${text}\` has a \`%\` that is not \`%u\``, example)
      return /^[^\s"<>,;:\\()[\]@\p{Cc}]+(@[^\s"<>,;:\\()@\p{Cc}]+)?$/u.test(text)
        ? ok(text)
        : bad(`\`${text}\` is no pattern of addresses`, example)
    }),
  valid: (value) => typeof value === 'string',
  print: t.quote,
}

const account: t.Type<string> = {
  syntax: '"NAME"',
  read: (args) =>
    args.parse('"NAME"', (text) =>
      /^(?:%u|[\w.@+-]){1,254}$/.test(text)
        ? ok(text)
        : bad(`\`${text}\` is no account`, 'a name, in which `%u` is the login name'),
    ),
  valid: (value) => typeof value === 'string',
  print: t.quote,
}

const MOST = 1000

export const policyBlock = block(
  'policy',
  sectionName,
  'What users may hand in. The first one that fits a user decides; without `users` and `groups` it fits everybody who has a login name. Whom none fits may send as anybody, and root is `trusted`; a uid without a name may send nothing, and one that the kernel cannot tell counts as a stranger. In patterns `%u` is the login name and `*` any run of characters; `+detail` is looked at only where the pattern has it, and without `@` the domain is `qualify-domain`.',
  {
    users: one(t.braced(policyUser, MOST), [], {
      doc: 'Users it fits, by login name or uid.',
      readers: ['smtpd'],
    }),
    groups: one(t.braced(t.systemName, MOST), [], {
      doc: 'Groups whose members it fits.',
      readers: ['smtpd'],
    }),
    deny: one(t.presence, false, { doc: 'They may send nothing at all.', readers: ['smtpd'] }),
    trusted: one(t.presence, false, {
      doc: 'They may send and write as anybody without a Sender field, and with `sendmail -G` their header stays as it is.',
      readers: ['smtpd'],
    }),
    senders: maybe(t.braced(addressPattern, MOST), {
      doc: 'Reverse-paths they may use, besides the empty one; another one gets 550.',
      usual: 'any',
      readers: ['smtpd'],
    }),
    from: maybe(t.braced(addressPattern, MOST), {
      doc: 'Addresses that may stand in From; others are refused with 550.',
      usual: 'as `senders`',
      readers: ['smtpd'],
    }),
    'message-size-limit': maybe(t.size(K, 2 * G), {
      doc: 'Their largest message, where that is less than on the listener.',
      usual: 'as on the listener',
      readers: ['smtpd'],
    }),
    'recipient-limit': maybe(t.count(1, 100_000), {
      doc: 'Recipients of one of their messages, where that is less than on the listener.',
      usual: 'as on the listener',
      readers: ['smtpd'],
    }),
    limit: maybe(quotas('connections', 'messages', 'recipients', 'octets'), {
      doc: 'What each of them may do: `messages 100/h recipients 500/h`.',
      usual: 'as `uid` in `limits`',
      readers: ['qmgr', 'smtpd'],
    }),
    account: maybe(account, {
      doc: 'Their mail is counted together under this name, in `limit` and in `user` of `limits`.',
      usual: 'each on their own',
      readers: ['smtpd'],
    }),
  },
)
