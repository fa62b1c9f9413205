/**
 * The option table: keys that mail is signed with on its way out. See `options.ts`; what is signed and how is in
 * `shared/dkim/signature-field.ts`.
 */
import { block, maybe, one, sectionName } from './blocks.ts'
import * as t from './types.ts'
import { bad, day, hour, ok } from './units.ts'

const selector: t.Type<string> = {
  syntax: '"SELECTOR"',
  read: (args) =>
    args.parse('"SELECTOR"', (text) =>
      isSelector(text)
        ? ok(text.toLowerCase())
        : bad(`\`${text}\` is no selector`, 'a label such as `s2026`'),
    ),
  valid: (value) => typeof value === 'string' && isSelector(value),
  print: t.quote,
}

/** RFC 6376 section 3.1. */
function isSelector(text: string): boolean {
  return text.length <= 63 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i.test(text)
}

const authorPattern: t.Type<string> = {
  syntax: '"PATTERN"',
  read: (args) =>
    args.parse('"PATTERN"', (text) =>
      /^[^\s"<>,;:\\()[\]@\p{Cc}]+@[^\s"<>,;:\\()@\p{Cc}]+$/u.test(text)
        ? ok(text.toLowerCase())
        : bad(
            `\`${text}\` is no pattern of addresses`,
            'such as `news@example.org` or `*@lists.example.org`',
          ),
    ),
  valid: (value) => typeof value === 'string',
  print: t.quote,
}

const MOST = 1000

export const dkimBlock = block(
  'dkim',
  sectionName,
  'A key that mail of our own users, and reports of our own, are signed with (DKIM, RFC 6376), or several that `posthorn key` looks after. All sections that have the domain of From sign, so that there may be an RSA and an Ed25519 signature. Only the smtpd for users can read keys.',
  {
    domains: one(t.braced(t.fullDomain, MOST), [], {
      doc: 'Domains whose authors are signed for, and those below them; the longest one that fits decides.',
      usual: 'the zones that name this section in `sign`',
      readers: ['qmgr', 'smtpd'],
    }),
    senders: maybe(t.braced(authorPattern, MOST), {
      doc: 'Only these authors (From) are signed for; `*` is any run of characters.',
      usual: 'all of the domains',
      readers: ['smtpd'],
    }),
    selector: maybe(selector, {
      doc: 'The key is published at SELECTOR._domainkey.DOMAIN.',
      readers: ['smtpd'],
    }),
    key: maybe(t.path, {
      doc: 'The private key, RSA from 2048 bits or Ed25519, in PEM; looked at anew when it changes. `posthorn key generate` makes one.',
      readers: ['smtpd'],
    }),
    directory: maybe(t.path, {
      doc: 'In place of `selector` and `key`: where `posthorn key` keeps keys that it changes from time to time.',
      readers: ['smtpd'],
    }),
    algorithm: maybe(t.oneOf('rsa', 'ed25519'), {
      doc: 'What the key must be; `posthorn key` makes such ones.',
      usual: 'either; with `key` RSA is made, in a `directory` one of each',
      readers: ['smtpd'],
    }),
    canonicalization: one(
      t.oneOf('relaxed/relaxed', 'relaxed/simple', 'simple/relaxed', 'simple/simple'),
      'relaxed/relaxed',
      {
        doc: 'What may happen to header and body on their way without breaking the signature (RFC 6376 section 3.4).',
        readers: ['qmgr', 'smtpd'],
      },
    ),
    lifetime: maybe(t.duration(hour, 366 * day), {
      doc: 'How long a signature is good (`x=`).',
      usual: 'for ever',
      readers: ['smtpd'],
    }),
    'on-failure': one(t.oneOf('accept', 'tempfail'), 'tempfail', {
      doc: 'What becomes of mail while its key cannot be read: it goes unsigned, or is put off with 451.',
      readers: ['smtpd'],
    }),
  },
)
