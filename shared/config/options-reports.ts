/**
 * The option table, the part about reports to the domains that mail claims to be from, and to those that it goes to. See `options.ts`.
 */
import { block, maybe, one } from './blocks.ts'
import * as t from './types.ts'
import { bad, ok } from './units.ts'

const address: t.Type<string> = {
  syntax: '"ADDRESS"',
  read: (args) =>
    args.parse('"ADDRESS"', (text) =>
      /^[a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[a-z0-9.-]{1,253}$/i.test(text) &&
      t.toDomain(text.slice(text.lastIndexOf('@') + 1)) !== null
        ? ok(text)
        : bad(`\`${text}\` is no address`, 'for example `dmarc@example.org`'),
    ),
  valid: (value) => typeof value === 'string',
  print: t.quote,
}

export const reportsBlock = block(
  'reports',
  null,
  'DMARC aggregate reports (RFC 9990): once a day each domain that asks for it is told which hosts have sent mail in its name to listeners with `authenticate yes`, how much, and what became of it; never what was in it or to whom. With `tls yes` also reports about TLS (RFC 8460): each domain that asks for it is told how many sessions with its hosts had TLS as it is published, and what failed. They are sent by way of a listener of type local.',
  {
    send: one(t.oneOf('yes', 'no'), 'no', {
      doc: 'Whether reports about DMARC are sent.',
      readers: ['resolver', 'smtpd'],
    }),
    tls: one(t.oneOf('yes', 'no'), 'no', {
      doc: 'Whether reports about TLS are sent, of the mail that goes by `tls dane` or `tls dane-only`.',
      readers: ['resolver', 'smtpc'],
    }),
    from: maybe(address, {
      doc: 'The sender of reports, in header and envelope; of a domain that may send from here. Sessions for mail of this sender are not in reports about TLS.',
      usual: '`postmaster@` and `qualify-domain`',
      readers: ['resolver', 'smtpc'],
    }),
    organization: maybe(t.text, {
      doc: 'Who reports, as reports say it.',
      usual: '`hostname`',
      readers: ['resolver'],
    }),
    entries: one(t.count(100, 10_000_000), 100_000, {
      doc: 'How many different results are remembered until they are sent, of DMARC and of TLS each; what is beyond is not reported.',
      readers: ['resolver'],
    }),
  },
)
