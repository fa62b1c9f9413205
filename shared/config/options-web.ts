/**
 * The option table, the part about what is served by HTTP. See `options.ts`.
 */
import { block, many, maybe, one } from './blocks.ts'
import * as t from './types.ts'
import { day, minute, second } from './units.ts'
import * as v from './values.ts'
import type { MailAccess } from './web-slice.ts'

/** RFC 8461 section 3.2. */
const LONGEST_AGE = 31_557_600 * second

/** @param ports the usual ones, with TLS from the first octet and by STARTTLS. */
function mailAccess(ports: Readonly<Record<MailAccess['mode'], number>>): t.Type<MailAccess> {
  return {
    syntax: '"HOST" [port PORT] [implicit | starttls]',
    read: (args) => {
      const host = t.fullDomain.read(args)
      if (host === undefined) return undefined
      const given = args.keyword('port') ? t.port.read(args) : null
      if (given === undefined) return undefined
      const said = args.peekWord() ? args.oneOf(['implicit', 'starttls']) : null
      if (said === undefined) return undefined
      const mode = said ?? (given === ports.starttls ? 'starttls' : 'implicit')
      return { host, port: given ?? ports[mode], mode }
    },
    valid: (value) => typeof value === 'object' && value !== null,
    print: ({ host, port, mode }) => `${t.quote(host)} port ${port} ${mode}`,
  }
}

export const webBlock = block(
  'web',
  null,
  'A small answerer of HTTP, off unless `port` or `socket` is given: the MTA-STS policy of your domains (RFC 8461), and what mail programs ask for to set themselves up. `services/web/README.md` says which names in DNS it needs.',
  {
    port: maybe(t.count(0, 65_535, 'PORT'), {
      doc: 'The TCP port; 0 lets the system choose, for tests.',
      readers: ['mcp', 'web'],
    }),
    address: many(t.series(v.bindAddress, 100), {
      doc: 'Addresses to listen on; `any` is all of them.',
      usual: '`any` with `tls`, else `127.0.0.1`',
      readers: ['mcp', 'web'],
    }),
    socket: maybe(v.socketFile(0o666), {
      doc: 'A unix socket for a web server in front, relative to `run-directory`; plain HTTP.',
      readers: ['mcp', 'web'],
    }),
    tls: many(t.series(v.reference, 100), {
      doc: 'The `tls` sections to use; each is for the names of its certificate, and a client must ask for one.',
      usual: 'none: plain HTTP, for a web server in front',
      readers: ['mcp', 'web'],
    }),
    domains: maybe(t.braced(t.fullDomain, 10_000), {
      doc: 'The domains that are spoken for.',
      usual: 'all zones of type local and relay',
      readers: ['web'],
    }),
    'mta-sts': maybe(t.oneOf('enforce', 'testing', 'none'), {
      doc: 'The mode of the MTA-STS policy; `none` tells those who know an older one to forget it.',
      usual: 'no policy is served',
      readers: ['web'],
    }),
    mx: many(t.series(v.hostPattern, 100), {
      doc: 'Hosts that take mail for the domains, for the MTA-STS policy; `*.` stands for one label.',
      usual: '`hostname`',
      readers: ['web'],
    }),
    'max-age': one(t.duration(minute, LONGEST_AGE), 7 * day, {
      doc: 'How long others may rely on the MTA-STS policy.',
      readers: ['web'],
    }),
    imap: maybe(mailAccess({ implicit: 993, starttls: 143 }), {
      doc: 'Where mail programs read mail by IMAP.',
      usual: 'they are not told',
      readers: ['web'],
    }),
    pop3: maybe(mailAccess({ implicit: 995, starttls: 110 }), {
      doc: 'Where mail programs read mail by POP3.',
      usual: 'they are not told',
      readers: ['web'],
    }),
    submission: maybe(mailAccess({ implicit: 465, starttls: 587 }), {
      doc: 'Where mail programs hand in mail.',
      usual: '`hostname` and the port of a submission listener with `auth` and `tls`',
      readers: ['web'],
    }),
    login: one(t.oneOf('address', 'local-part'), 'address', {
      doc: 'What users log in with: their address, or what stands before the `@`.',
      readers: ['web'],
    }),
  },
)
