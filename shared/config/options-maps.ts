/**
 * The option table, maps: where tables are that others use by name. See `options.ts`; what a map is asked, and in
 * which order, is in `services/resolver/README.md`.
 */
import { block, maybe, needed, one, sectionName } from './blocks.ts'
import { mapUrl, searchFilter, sqlQuery } from './map-values.ts'
import * as t from './types.ts'
import { hour, minute, second } from './units.ts'

const readers = ['resolver'] as const
const files = ['hash', 'cidr', 'regexp', 'sqlite', 'cdb'] as const
const servers = ['socketmap', 'postgresql'] as const
const sockets = [...servers, 'dovecot'] as const
const logins = ['http', 'postgresql', 'ldap'] as const

export const mapKinds = [...files, 'socketmap', 'dovecot', 'http', 'dns', 'postgresql', 'ldap'] as const

export const mapBlock = block(
  'map',
  sectionName,
  'A table that is declared once and used by its name: `aliases map "NAME";`. A map that cannot be asked now is trouble of ours: the client hears 451, queued mail waits, and nobody is unknown for that. `posthorn lookup NAME KEY` asks one.',
  {
    type: needed(t.oneOf(...mapKinds), {
      doc: "`hash`: a file of lines `key value`; `cidr`: of lines `network value`; `regexp`: of lines `/pattern/ value`, matched in linear time; `sqlite`, `cdb`: databases in a file; `socketmap`: a server of Sendmail's protocol; `dovecot`: the users that Dovecot knows, whose value is their home; `http`: a web server; `dns`: records below a domain; `postgresql`, `ldap`: servers.",
      readers,
    }),
    file: maybe(t.path, {
      doc: 'The file; it is read again when it changes. One with a bad line is not taken while there is an older state of it.',
      readers,
      only: files,
    }),
    query: maybe(sqlQuery, {
      doc: 'One SELECT with the bound parameters `:key`, `:user` (before `@`) and `:domain`. Columns are put together with `:`, rows with `, `.',
      readers,
      only: ['sqlite', 'postgresql'],
    }),
    socket: maybe(t.path, {
      doc: 'The unix socket of the server; of PostgreSQL its folder; of Dovecot a `unix_listener` of service auth whose name ends in `-userdb`.',
      readers,
      only: sockets,
    }),
    host: maybe(t.text, { doc: 'Its host, by name or address.', readers, only: servers }),
    port: maybe(t.port, { doc: 'Its TCP port.', usual: '5432 for `postgresql`', readers, only: servers }),
    name: maybe(t.text, { doc: 'What the map is called at the server.', readers, only: ['socketmap'] }),
    url: maybe(mapUrl, {
      doc: '`http`: what is fetched, with `%k` for the key, `%u` and `%d` for what stands before and behind its `@`, each escaped. 200 with text: found; 404 and 410, and 204: not there; all else is trouble. `ldap`: the server alone, ldap://, ldaps:// or ldapi://.',
      readers,
      only: ['http', 'ldap'],
    }),
    suffix: maybe(t.fullDomain, {
      doc: 'The domain below which keys are looked up; of an address as key, `@` becomes `._at_.`; IP addresses are turned round as in `dnsbl`.',
      readers,
      only: ['dns'],
    }),
    record: one(t.oneOf('a', 'txt'), 'txt', { doc: 'Which records are the value.', readers, only: ['dns'] }),
    database: maybe(t.text, { doc: 'The database.', readers, only: ['postgresql'] }),
    user: maybe(t.text, {
      doc: 'Whom we log in as; of LDAP a distinguished name.',
      usual: 'none',
      readers,
      only: logins,
    }),
    'password-file': maybe(t.path, {
      doc: 'A file with our password there, in its first line; read at each new connection.',
      readers,
      only: logins,
    }),
    tls: one(t.oneOf('yes', 'no'), 'no', {
      doc: 'Whether the server must speak TLS, by a certificate that can be verified; URLs with https and ldaps do so anyway.',
      readers,
      only: ['postgresql', 'ldap'],
    }),
    'ca-file': maybe(t.path, {
      doc: 'Whom to trust for that, PEM.',
      usual: 'those that Node comes with',
      readers,
      only: logins,
    }),
    base: maybe(t.text, { doc: 'Where the search begins.', readers, only: ['ldap'] }),
    scope: one(t.oneOf('sub', 'one', 'base'), 'sub', { doc: 'How deep it goes.', readers, only: ['ldap'] }),
    filter: maybe(searchFilter, {
      doc: 'What is searched for, with `%k`, `%u` and `%d` as in `url`, escaped (RFC 4515).',
      readers,
      only: ['ldap'],
    }),
    attribute: maybe(t.text, {
      doc: 'Whose values are the value, put together with `, `.',
      readers,
      only: ['ldap'],
    }),
    timeout: one(t.duration(10, minute), 5 * second, {
      doc: 'For one question; then it is trouble.',
      readers,
    }),
    connections: one(t.count(1, 100), 4, { doc: 'Questions at one time at most; others wait.', readers }),
    cache: one(t.duration(0, hour), 5 * second, {
      doc: 'How long an answer is remembered, not of files. Trouble never is.',
      readers,
    }),
  },
)
