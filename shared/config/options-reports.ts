/**
 * The option table, the part about reports to the domains that mail claims to be from. See `options.ts`.
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
  'DMARC aggregate reports (RFC 9990): once a day each domain that asks for it is told which hosts have sent mail in its name to listeners with `authenticate yes`, how much, and what became of it; never what was in it or to whom. They are sent by way of a listener of type local.',
  {
    send: one(t.oneOf('yes', 'no'), 'no', {
      doc: 'Whether reports are sent.',
      readers: ['resolver', 'smtpd'],
    }),
    from: maybe(address, {
      doc: 'The sender of reports, in header and envelope; of a domain that may send from here.',
      usual: '`postmaster@` and `qualify-domain`',
      readers: ['resolver'],
    }),
    organization: maybe(t.text, {
      doc: 'Who reports, as reports say it.',
      usual: '`hostname`',
      readers: ['resolver'],
    }),
    entries: one(t.count(100, 10_000_000), 100_000, {
      doc: 'How many different results are remembered until they are sent; what is beyond is not reported.',
      readers: ['resolver'],
    }),
  },
)
