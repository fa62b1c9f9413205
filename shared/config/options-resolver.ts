/**
 * The option table, the resolver's part: name servers, DNSSEC, addresses. See `options.ts`.
 */
import { block, maybe, one } from './blocks.ts'
import * as t from './types.ts'
import { bad, G, K, M, minute, ok, second } from './units.ts'
import * as v from './values.ts'

export const resolverBlock = block('resolver', null, 'Name service and addresses.', {
  nameservers: one(t.braced(v.nameServer, 8), [], {
    doc: 'The name servers to ask, in order. `validating`: it checks DNSSEC, and the network to it is as safe as this machine.',
    usual: 'those of `/etc/resolv.conf`',
    readers: ['resolver'],
  }),
  timeout: one(t.duration(50, minute), 5 * second, {
    doc: 'For one question to one name server.',
    readers: ['resolver'],
  }),
  attempts: one(t.count(1, 10), 2, { doc: 'Rounds over all name servers.', readers: ['resolver'] }),
  'cache-entries': one(t.count(0, 10_000_000), 10_000, {
    doc: 'Answers that are kept for their time to live, and records for a day more, for when no name server answers.',
    readers: ['resolver'],
  }),
  'cache-size': one(t.size(64 * K, 16 * G), 16 * M, {
    doc: 'The memory that they may take, about.',
    readers: ['resolver'],
  }),
  dnssec: one(t.oneOf('servers', 'unbound', 'no'), 'servers', {
    doc: 'Who validates: name servers on this machine and those that are called `validating`; or an unbound that Posthorn runs for itself.',
    readers: ['mcp', 'resolver'],
  }),
  'unbound-program': one(t.path, '/usr/sbin/unbound', {
    doc: 'Where the program is, version 1.13 or later (`apt install unbound`; the service of that package is not needed).',
    readers: ['mcp'],
  }),
  'unbound-port': one(t.port, 5335, {
    doc: 'Its port on 127.0.0.1, UDP and TCP.',
    readers: ['mcp', 'resolver'],
  }),
  'unbound-forward': one(t.braced(v.forwarder, 8), [], {
    doc: 'Name servers that it asks for everything; they must pass signatures on.',
    usual: 'none: it asks the root and follows',
    readers: ['mcp'],
  }),
  'trust-anchor': maybe(t.path, {
    doc: 'Keys, as DS or DNSKEY records, that its trust begins with.',
    usual: 'the root key of the `dns-root-data` package, kept up to date below `directory` (RFC 5011)',
    readers: ['mcp'],
  }),
  'mta-sts': one(t.oneOf('yes', 'no'), 'yes', {
    doc: 'Policies of MTA-STS (RFC 8461) are looked up, fetched by HTTPS and kept for the domains that mail goes to.',
    readers: ['resolver'],
  }),
  'mta-sts-ca-file': maybe(t.path, {
    doc: 'Certificates of the authorities to trust where policies are fetched and reports about TLS posted, in PEM.',
    usual: 'those that Node comes with',
    readers: ['resolver'],
  }),
  'smtp-port': one(t.port, 25, {
    doc: 'The port of mail exchangers, for test networks.',
    readers: ['resolver'],
  }),
  'recipient-delimiter': one(recipientDelimiter(), '+', {
    doc: 'Separates user and detail in local addresses, `user+detail`; empty for none.',
    readers: ['resolver', 'smtpd'],
  }),
})

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
