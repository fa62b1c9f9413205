/**
 * The option table against what becomes of it: the manual is current, and no option is parsed and ignored: each
 * one, set to something else, changes the slices of exactly the processes that the table says are told.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { loadConfigText, type Overrides, printProblems } from '../../shared/config/check.ts'
import { renderOptions } from '../../shared/config/manual.ts'
import { allBlocks } from '../../shared/config/options.ts'
import type { Slices } from '../../shared/config/slices.ts'

const timeout = 60_000
const machine: Overrides = {
  asCaller: true,
  uid: 1000,
  gid: 1000,
  hostname: 'test.example.org',
  interfaces: ['127.0.0.1/8', '::1/128'],
  readable: () => 'yes',
}

test('config/options.md is what the table says', { timeout }, () => {
  assert.equal(readFileSync('config/options.md', 'utf8'), renderOptions(), 'write it anew: posthorn options')
})

/** What a section needs to be one, without the option under test. */
const frames: Readonly<Record<string, (inside: string) => string>> = {
  reports: (inside) =>
    `reports { ${inside} }; listener "x" { port 26; type mx; authenticate yes; }; listener "local" { socket "s"; }; ${others}`,
  web: (inside) => `web { ${inside} }; ${tls} ${others}`,
  options: (inside) => `options { ${inside} }; ${others}`,
  tls: (inside) => `listener "x" { type mx; port 26; tls "x"; }; tls "x" { ${inside} }; ${others}`,
  auth: (inside) =>
    `listener "x" { type submission; port 26; tls "t"; auth "x"; }; auth "x" { ${inside} }; ${tls} ${others}`,
  listener: (inside) =>
    `listener "x" { ${inside} }; screening "s" { }; access "s" { rule sender "<>" accept; }; filter "f" { milter "/f"; }; auth "a" { passwords "/p"; }; dkim "k" { ${signs} }; ${tls} ${others}`,
  access: (inside) => `listener "x" { port 25; access "x"; }; access "x" { ${inside} }; ${zone}`,
  screening: (inside) =>
    `listener "x" { port 25; screening "x"; }; screening "x" { ${inside} }; ${lists} ${zone}`,
  greylist: (inside) =>
    `listener "x" { port 25; screening "x"; }; screening "x" { greylist-score 1; }; greylist { ${inside} }; ${zone}`,
  dnsbl: (inside) =>
    `listener "x" { port 25; screening "x"; }; screening "x" { }; dnsbl "bl.example" { ${inside} }; ${zone}`,
  dnswl: (inside) =>
    `listener "x" { port 25; screening "x"; }; screening "x" { }; dnswl "wl.example" { ${inside} }; ${zone}`,
  filter: (inside) =>
    `listener "x" { type mx; port 26; filters { "x"; }; }; filter "x" { ${inside} }; ${others}`,
  policy: (inside) => `policy "x" { ${inside} }; ${others}`,
  srs: (inside) => `srs { ${inside} }; zone "example.net" { type local; }; ${others}`,
  dkim: (inside) => `dkim "x" { ${inside} }; ${others}`,
  zone: (inside) =>
    `zone "x.example" { ${inside} }; map "m" { type hash; file "/m"; }; relay "r" { hosts { r.example; }; }; routing "o" { rule size 1 direct; }; dkim "k" { ${signs} }; ${others}`,
  relay: (inside) => `relay "x" { ${inside} }; ${others}`,
  routing: (inside) => `routing "x" { ${inside} }; zone "." { type remote; routing "x"; }; ${others}`,
  map: (inside) => `map "x" { ${inside} }; ${others}`,
  server: (inside) => `server "x" { ${inside} }; ${others}`,
  'retry-class': (inside) => `retry-class "x" { ${inside} }; ${others}`,
  channel: (inside) => `logging { channel "x" { ${inside} }; }; ${others}`,
  logging: (inside) => `logging { ${inside} channel "x" { stderr; }; }; ${others}`,
}
const srs = 'domain "example.org"; secret "/s";'
const signs = 'domains { "example.org"; }; selector "s"; key "/k";'
const tls = 'tls "t" { certificate "/c"; key "/k"; };'
const zone = 'zone "example.org" { type local; };'
const others = `listener "mx" { port 25; }; ${zone}`
const lists = 'dnsbl "bl.example" { }; dnswl "wl.example" { };'

const UNBOUND = 'dnssec unbound; unbound-program "/bin/sh"; trust-anchor "/bin/sh";'
const WEB = 'port 80; mta-sts testing;'
const PROGRAMS = 'port 80; pop3 "pop.example.org"; submission "smtp.example.org";'
const pair = 'certificate "/c"; key "/k";'
const jwks = 'oauth-jwks "https://id.example.org/keys"; oauth-issuer "i"; oauth-audience "a";'
const shown = 'oauth-introspection "https://id.example.org/show";'
const sql = 'type postgresql; host "h"; user "u"; query "a :key";'
const ldap = 'type ldap; url "ldap://h"; filter "(mail=%k)"; attribute "a";'
const user = 'type submission; port 26; tls "t";'

/** For each option: what it is compared with, and itself. */
const samples: Readonly<Record<string, readonly [before: string, after: string]>> = {
  'options hostname': ['', 'hostname "other.example.org";'],
  'options directory': ['', 'directory "/tmp/x";'],
  'options run-directory': ['', 'run-directory "/tmp/x";'],
  'options pid-file': ['', 'pid-file "x.pid";'],
  'options qualify-domain': ['', 'qualify-domain "example.org";'],
  'options message-size-limit': ['', 'message-size-limit 99M;'],
  'options minimum-uid': ['', 'minimum-uid 7;'],
  'options aliases': ['', 'aliases "/a" "/b";'],
  'options alias-user': ['', 'alias-user u;'],
  'tls certificate': ['certificate "/c"; key "/k";', 'certificate "/d"; key "/k";'],
  'tls key': ['certificate "/c"; key "/k";', 'certificate "/c"; key "/l";'],
  'tls minimum-version': [pair, `${pair} minimum-version 1.3;`],
  'tls client-ca': [pair, `${pair} client-ca "/a";`],
  'tls client-certificate': [
    `${pair} client-ca "/a";`,
    `${pair} client-ca "/a"; client-certificate required;`,
  ],
  'auth passwords': ['dovecot "/d";', 'passwords "/p";'],
  'auth dovecot': ['passwords "/d";', 'dovecot "/d";'],
  'auth saslauthd': ['dovecot "/d";', 'saslauthd "/d";'],
  'auth certificates': ['passwords "/p";', 'passwords "/p"; certificates yes;'],
  'auth oauth-jwks': [jwks, jwks.replace('id', 'other')],
  'auth oauth-introspection': [shown, shown.replace('id', 'other')],
  'auth oauth-client': [shown, `${shown} oauth-client "x";`],
  'auth oauth-secret': [shown, `${shown} oauth-secret "/s";`],
  'auth oauth-issuer': [jwks, jwks.replace('"i"', '"j"')],
  'auth oauth-audience': [jwks, jwks.replace('"a"', '"b"')],
  'auth oauth-scope': [jwks, `${jwks} oauth-scope "mail";`],
  'auth oauth-login': [jwks, `${jwks} oauth-login "sub";`],
  'auth mechanisms': ['passwords "/p";', 'passwords "/p"; mechanisms PLAIN;'],
  'filter milter': ['milter "/f";', 'milter 127.0.0.1 port 11332;'],
  'filter policy': ['milter "/f";', 'policy "/f";'],
  'filter policy-stages': ['policy "/f";', 'policy "/f"; policy-stages rcpt end-of-message;'],
  'filter rspamd': ['milter "/f";', 'rspamd 127.0.0.1 port 11333;'],
  'filter on-failure': ['milter "/f";', 'milter "/f"; on-failure accept;'],
  'filter connect-timeout': ['milter "/f";', 'milter "/f"; connect-timeout 1s;'],
  'filter timeout': ['milter "/f";', 'milter "/f"; timeout 1s;'],
  'filter content-timeout': ['milter "/f";', 'milter "/f"; content-timeout 1s;'],
  'listener sign': ['type mx; port 26;', 'type mx; port 26; sign yes;'],
  'zone sign': ['type local;', 'type local; sign { "k"; };'],
  'srs domain': [srs, srs.replace('example.org', 'example.net')],
  'srs secret': [srs, srs.replace('/s', '/t')],
  'dkim domains': [signs, signs.replace('example.org', 'example.net')],
  'dkim senders': [signs, `${signs} senders { "news@example.org"; };`],
  'dkim selector': [signs, signs.replace('"s"', '"t"')],
  'dkim key': [signs, signs.replace('/k', '/l')],
  'dkim algorithm': [signs, `${signs} algorithm ed25519;`],
  'dkim directory': [signs, 'domains { "example.org"; }; directory "/k";'],
  'dkim canonicalization': [signs, `${signs} canonicalization simple/simple;`],
  'dkim lifetime': [signs, `${signs} lifetime 7d;`],
  'dkim on-failure': [signs, `${signs} on-failure accept;`],
  'listener trusted-sealers': [
    'type mx; port 26;',
    'type mx; port 26; trusted-sealers { "lists.example.net"; };',
  ],
  'listener client-names': ['type mx; port 26;', 'type mx; port 26; client-names yes;'],
  'listener filters': ['type mx; port 26;', 'type mx; port 26; filters { "f"; };'],
  'listener sni': ['type mx; port 26; tls "t";', 'type mx; port 26; tls "t"; sni "t";'],
  'listener auth': [`${user}`, `${user} auth "a";`],
  'listener auth-without-tls': [`${user} auth "a";`, `${user} auth "a"; auth-without-tls yes;`],
  'listener sender-login': [`${user} auth "a";`, `${user} auth "a"; sender-login "/m";`],
  'access rule': ['', 'rule sender "a.example" recipient "b@*" reject "no";'],
  'listener access': ['type mx; port 26;', 'type mx; port 26; access "s";'],
  'listener screening': ['type mx; port 26;', 'type mx; port 26; screening "s";'],
  'screening when': ['', 'when connect;'],
  'screening exempt': ['', 'exempt { none; };'],
  'screening lists': ['', 'lists "wl.example";'],
  'screening timeout': ['', 'timeout 1s;'],
  'screening no-reverse-name': ['', 'no-reverse-name 1;'],
  'screening unconfirmed-reverse-name': ['', 'unconfirmed-reverse-name 1;'],
  'screening helo-invalid': ['helo-unknown 1;', 'helo-unknown 1; helo-invalid 1;'],
  'screening helo-own-name': ['helo-unknown 1;', 'helo-unknown 1; helo-own-name 1;'],
  'screening helo-other-address': ['helo-unknown 1;', 'helo-unknown 1; helo-other-address 1;'],
  'screening helo-unknown': ['helo-invalid 1;', 'helo-invalid 1; helo-unknown 1;'],
  'screening helo-unconfirmed': ['helo-unknown 1;', 'helo-unknown 1; helo-unconfirmed 1;'],
  'screening tag-score': ['', 'tag-score 1;'],
  'screening greylist-score': ['', 'greylist-score 1;'],
  'greylist delay': ['', 'delay 1m;'],
  'greylist retry-within': ['', 'retry-within 1d;'],
  'greylist keep': ['', 'keep 20d;'],
  'greylist known-after': ['', 'known-after 3;'],
  'greylist entries': ['', 'entries 5000;'],
  'screening defer-score': ['', 'defer-score 1;'],
  'screening reject-score': ['', 'reject-score 1;'],
  'dnsbl score': ['', 'score 3;'],
  'dnsbl reply': ['', 'reply 127.0.0.2 127.0.0.4-127.0.0.7;'],
  'dnswl score': ['', 'score 3;'],
  'dnswl reply': ['', 'reply 127.0.1.2;'],
  'limits client-login-failures': ['', 'client-login-failures 3/m;'],
  'limits account-login-failures': ['', 'account-login-failures 3/m;'],
  'listener type': ['type mx; port 26;', 'type submission; port 26;'],
  'listener port': ['type mx; port 26;', 'type mx; port 27;'],
  'listener address': ['type mx; port 26;', 'type mx; port 26; address 127.0.0.9;'],
  'listener socket': ['socket "a.sock";', 'socket "b.sock";'],
  'listener tls': ['type mx; port 26;', 'type mx; port 26; tls "t";'],
  'listener relay': ['type mx; port 26;', 'type mx; port 26; relay { 192.0.2.1; };'],
  'listener allow': ['type mx; port 26;', 'type mx; port 26; allow { 192.0.2.1; };'],
  'listener proxy': ['type mx; port 26;', 'type mx; port 26; proxy { 192.0.2.1; };'],
  'listener xclient': ['type mx; port 26;', 'type mx; port 26; xclient { 192.0.2.1; };'],
  'listener xforward': ['type mx; port 26;', 'type mx; port 26; xforward { 192.0.2.1; };'],
  'listener vrfy': ['type mx; port 26;', 'type mx; port 26; vrfy { 192.0.2.1; };'],
  'listener expn': ['type mx; port 26;', 'type mx; port 26; expn { 192.0.2.1; };'],
  'listener etrn': ['type mx; port 26;', 'type mx; port 26; etrn { 192.0.2.1; };'],
  'listener greeting-delay': ['type mx; port 26;', 'type mx; port 26; greeting-delay 1s;'],
  'listener message-size-limit': ['type mx; port 26;', 'type mx; port 26; message-size-limit 99M;'],
  'listener recipient-limit': ['type mx; port 26;', 'type mx; port 26; recipient-limit 101;'],
  'listener session-limit': ['type mx; port 26;', 'type mx; port 26; session-limit 101;'],
  'listener error-limit': ['type mx; port 26;', 'type mx; port 26; error-limit 101;'],
  'listener command-timeout': ['type mx; port 26;', 'type mx; port 26; command-timeout 10s;'],
  'listener bare-newline': ['type mx; port 26;', 'type mx; port 26; bare-newline normalise;'],
  'listener cut-through': ['type mx; port 26;', 'type mx; port 26; cut-through yes;'],
  'listener cut-through-deadline': [
    'type mx; port 26; cut-through yes;',
    'type mx; port 26; cut-through yes; cut-through-deadline 9s;',
  ],
  'listener authenticate': ['type mx; port 26;', 'type mx; port 26; authenticate yes;'],
  'zone forged': ['type local;', 'type local; forged reject;'],
  'listener handshake-deadline': ['type mx; port 26;', 'type mx; port 26; handshake-deadline 9s;'],
  'listener hello-deadline': ['type mx; port 26;', 'type mx; port 26; hello-deadline 9s;'],
  'listener login-deadline': ['type mx; port 26;', 'type mx; port 26; login-deadline 9s;'],
  'listener envelope-deadline': ['type mx; port 26;', 'type mx; port 26; envelope-deadline 9s;'],
  'listener content-deadline': ['type mx; port 26;', 'type mx; port 26; content-deadline 9s;'],
  'listener content-rate': ['type mx; port 26;', 'type mx; port 26; content-rate 9K;'],
  'listener session-deadline': ['type mx; port 26;', 'type mx; port 26; session-deadline 9s;'],
  'listener tarpit-delay': ['type mx; port 26;', 'type mx; port 26; tarpit-delay 9s;'],
  'listener tarpit-after': ['type mx; port 26;', 'type mx; port 26; tarpit-after 9;'],
  'listener tarpit-sessions': ['type mx; port 26;', 'type mx; port 26; tarpit-sessions 9;'],
  'listener command-length-limit': ['type mx; port 26;', 'type mx; port 26; command-length-limit 512;'],
  'listener transaction-limit': ['type mx; port 26;', 'type mx; port 26; transaction-limit 9;'],
  'listener hop-limit': ['type mx; port 26;', 'type mx; port 26; hop-limit 30;'],
  'listener header-size-limit': ['type mx; port 26;', 'type mx; port 26; header-size-limit 64K;'],
  'listener header-field-limit': ['type mx; port 26;', 'type mx; port 26; header-field-limit 99;'],
  'listener header-line-limit': ['type mx; port 26;', 'type mx; port 26; header-line-limit 998;'],
  'listener line-length-limit': ['type mx; port 26;', 'type mx; port 26; line-length-limit 998;'],
  'listener header-nul': ['type mx; port 26;', 'type mx; port 26; header-nul pass;'],
  'listener body-nul': ['type mx; port 26;', 'type mx; port 26; body-nul pass;'],
  'listener header-8bit': ['type mx; port 26;', 'type mx; port 26; header-8bit refuse;'],
  'listener hold-limit': ['type submission; port 26;', 'type submission; port 26; hold-limit 1d;'],
  'listener t-arguments': ['socket "a.sock";', 'socket "a.sock"; t-arguments remove;'],
  'listener user-agents': ['type local; socket "s";', 'type local; socket "s"; user-agents yes;'],
  'listener require-signature': ['type mx; port 26;', 'type mx; port 26; require-signature yes;'],
  'zone require-signature': ['type local;', 'type local; require-signature yes;'],
  'policy users': ['', 'users { 7; };'],
  'policy groups': ['', 'groups { "root"; };'],
  'policy deny': ['', 'deny;'],
  'policy trusted': ['', 'trusted;'],
  'policy senders': ['', 'senders { "%u"; };'],
  'policy from': ['', 'from { "*@example.org"; };'],
  'policy message-size-limit': ['', 'message-size-limit 1M;'],
  'policy recipient-limit': ['', 'recipient-limit 9;'],
  'policy limit': ['', 'limit messages 9/h;'],
  'policy account': ['', 'account "web";'],
  'zone cut-through': ['type local;', 'type local; cut-through no;'],
  'zone cut-through-deadline': ['type local;', 'type local; cut-through-deadline 9s;'],
  'zone type': ['type local;', 'type remote;'],
  'zone mailboxes': ['type local;', 'type local; mailboxes "/m";'],
  'zone no-mail': ['type local;', 'type local; no-mail { bin; games; };'],
  'zone catch-all': ['type local;', 'type local; catch-all "info";'],
  'zone forward': ['type local;', 'type local; forward no;'],
  'zone aliases': ['type local;', 'type local; aliases "/a" "/b";'],
  'zone relay': ['type relay; hosts { a.example; };', 'type relay; relay "r";'],
  'zone routing': ['type remote;', 'type remote; routing "o";'],
  'zone reply': ['type error;', 'type error; reply 450 "4.1.2" "Come again";'],
  'zone source': ['type remote;', 'type remote; source 127.0.0.1 "::1" by turns;'],
  'zone helo': ['type remote;', 'type remote; helo "x.example.org";'],
  'server source': ['', ' source 127.0.0.1 "::1" by turns;'],
  'server helo': ['', ' helo "x.example.org";'],
  'smtpc source': ['', ' source 127.0.0.1 "::1" by turns;'],
  'smtpc helo': ['', ' helo "x.example.org";'],
  'relay source': ['hosts { a.example; };', 'hosts { a.example; }; source 127.0.0.1 "::1" by turns;'],
  'relay helo': ['hosts { a.example; };', 'hosts { a.example; }; helo "x.example.org";'],
  'relay hosts': ['hosts { a.example; };', 'hosts { a.example weight 2; "/run/s" smtp; };'],
  'relay logins': ['hosts { a.example; };', 'hosts { a.example; }; logins "/l";'],
  'relay tls-certificate': [
    'hosts { a.example; }; tls-certificate "/a"; tls-key "/k";',
    'hosts { a.example; }; tls-certificate "/b"; tls-key "/k";',
  ],
  'relay tls-key': [
    'hosts { a.example; }; tls-certificate "/a"; tls-key "/k";',
    'hosts { a.example; }; tls-certificate "/a"; tls-key "/l";',
  ],
  'relay tls': ['hosts { a.example; };', 'hosts { a.example; }; tls encrypt;'],
  'relay tls-names': [
    'hosts { a.example; }; tls verify;',
    'hosts { a.example; }; tls verify; tls-names "b.example";',
  ],
  'relay ca-file': ['hosts { a.example; };', 'hosts { a.example; }; ca-file "/ca.pem";'],
  'relay proxy': ['hosts { a.example; };', 'hosts { a.example; }; proxy none;'],
  'routing rule': ['rule size 1M direct;', 'rule size 1M discard;'],
  'zone recipients': [
    'type relay; hosts { a.example; };',
    'type relay; hosts { a.example; }; recipients map "m";',
  ],
  'map type': ['type hash; file "/m";', 'type cidr; file "/m";'],
  'map file': ['type hash; file "/m";', 'type hash; file "/n";'],
  'map query': ['type sqlite; file "/m"; query "a :key";', 'type sqlite; file "/m"; query "b :key";'],
  'map socket': ['type socketmap; socket "/m"; name "n";', 'type socketmap; socket "/n"; name "n";'],
  'map host': ['type socketmap; host "a"; port 1; name "n";', 'type socketmap; host "b"; port 1; name "n";'],
  'map port': ['type socketmap; host "a"; port 1; name "n";', 'type socketmap; host "a"; port 2; name "n";'],
  'map name': ['type socketmap; socket "/m"; name "n";', 'type socketmap; socket "/m"; name "o";'],
  'map url': ['type http; url "http://a/%k";', 'type http; url "http://b/%k";'],
  'map suffix': ['type dns; suffix "a.example";', 'type dns; suffix "b.example";'],
  'map record': ['type dns; suffix "a.example";', 'type dns; suffix "a.example"; record a;'],
  'map database': [`${sql} database "d";`, `${sql} database "e";`],
  'map user': ['type http; url "http://a/%k";', 'type http; url "http://a/%k"; user "u";'],
  'map password-file': ['type http; url "http://a/%k";', 'type http; url "http://a/%k"; password-file "/p";'],
  'map tls': [`${sql} database "d";`, `${sql} database "d"; tls yes;`],
  'map ca-file': ['type http; url "http://a/%k";', 'type http; url "http://a/%k"; ca-file "/c";'],
  'map base': [`${ldap} base "b";`, `${ldap} base "c";`],
  'map scope': [`${ldap} base "b";`, `${ldap} base "b"; scope one;`],
  'map filter': [`${ldap} base "b";`, `${ldap.replace('mail', 'uid')} base "b";`],
  'map attribute': [`${ldap} base "b";`, `${ldap.replace('"a"', '"c"')} base "b";`],
  'map timeout': ['type hash; file "/m";', 'type hash; file "/m"; timeout 9s;'],
  'map connections': ['type hash; file "/m";', 'type hash; file "/m"; connections 9;'],
  'map cache': ['type hash; file "/m";', 'type hash; file "/m"; cache 9s;'],
  'zone deliver': ['type local; deliver maildir "~/x";', 'type local; deliver mbox "~/x";'],
  'zone hosts': ['type relay; hosts { a.example; };', 'type relay; hosts { b.example; };'],
  'zone retry': ['type local; ', 'type local; retry 3m;'],
  'zone lifetime': ['type local; ', 'type local; lifetime 3d;'],
  'zone bounce-lifetime': ['type local; ', 'type local; bounce-lifetime 3h;'],
  'zone delay-warning': ['type local; ', 'type local; delay-warning 3h;'],
  'zone tls-certificate': [
    'type remote; tls-certificate "/a"; tls-key "/k";',
    'type remote; tls-certificate "/b"; tls-key "/k";',
  ],
  'zone tls-key': [
    'type remote; tls-certificate "/a"; tls-key "/k";',
    'type remote; tls-certificate "/a"; tls-key "/l";',
  ],
  'zone tls': ['type remote;', 'type remote; tls dane-only;'],
  'zone tls-names': [
    'type remote; tls verify;',
    'type remote; tls verify; tls-names "a.example" ".b.example";',
  ],
  'zone ca-file': [
    'type relay; hosts { a.example; };',
    'type relay; hosts { a.example; }; ca-file "/ca.pem";',
  ],
  'server tls': ['', `tls fingerprint "${'aB:'.repeat(31)}AB";`],
  'server tls-names': ['', 'tls-names "a.example";'],
  'server ca-file': ['', 'ca-file "/ca.pem";'],
  'zone proxy': ['type remote;', 'type remote; proxy "http://127.0.0.1:3128";'],
  'server tls-certificate': ['tls-certificate "/a"; tls-key "/k";', 'tls-certificate "/b"; tls-key "/k";'],
  'server tls-key': ['tls-certificate "/a"; tls-key "/k";', 'tls-certificate "/a"; tls-key "/l";'],
  'server proxy': ['', 'proxy none;'],
  'server match-mx': ['', 'match-mx "a.example" "b.example";'],
  'server recipients-per-transaction': ['', 'recipients-per-transaction 3;'],
  'server transactions-per-connection': ['', 'transactions-per-connection 3;'],
  'server connection-idle': ['', 'connection-idle 3s;'],
  'server retry': ['', 'retry 3m;'],
  'server lifetime': ['', 'lifetime 3d;'],
  'server bounce-lifetime': ['', 'bounce-lifetime 3h;'],
  'server delay-warning': ['', 'delay-warning 3h;'],
  'server max-connections': ['', 'max-connections 3;'],
  'server rate': ['', 'rate 3/s;'],
  'retry-class codes': ['codes { 450; }; retry 3m;', 'codes { 450; "4.7.x"; }; retry 3m;'],
  'retry-class text': ['codes { 450; }; retry 3m;', 'codes { 450; }; retry 3m; text "grey*list";'],
  'retry-class match-mx': ['codes { 450; }; retry 3m;', 'codes { 450; }; retry 3m; match-mx "*.x.example";'],
  'retry-class zones': ['codes { 450; }; retry 3m;', 'codes { 450; }; retry 3m; zones "example.org";'],
  'retry-class retry': ['codes { 450; }; suspend 1m; ', 'codes { 450; }; suspend 1m; retry 3m;'],
  'retry-class lifetime': ['codes { 450; }; suspend 1m; ', 'codes { 450; }; suspend 1m; lifetime 3d;'],
  'retry-class bounce-lifetime': [
    'codes { 450; }; suspend 1m; ',
    'codes { 450; }; suspend 1m; bounce-lifetime 3h;',
  ],
  'retry-class delay-warning': [
    'codes { 450; }; suspend 1m; ',
    'codes { 450; }; suspend 1m; delay-warning 3h;',
  ],
  'retry-class hint': ['codes { 450; }; suspend 3m;', 'codes { 450; }; suspend 3m; hint "ask them";'],
  'retry-class suspend': ['codes { 450; }; retry 3m;', 'codes { 450; }; retry 3m; suspend 3m;'],
  'qmgr known-providers': ['', 'known-providers no;'],
  'qmgr active-entries': ['', 'active-entries 11;'],
  'qmgr active-size': ['', 'active-size 3M;'],
  'qmgr inline-limit': ['', 'inline-limit 30K;'],
  'qmgr retry': ['', 'retry 3m;'],
  'qmgr lifetime': ['', 'lifetime 3d;'],
  'qmgr bounce-lifetime': ['', 'bounce-lifetime 3h;'],
  'qmgr removed-keep': ['', 'removed-keep 2d;'],
  'qmgr delay-warning': ['', 'delay-warning 0;'],
  'qmgr return-limit': ['', 'return-limit 3K;'],
  'qmgr initial-connections': ['', 'initial-connections 3;'],
  'qmgr max-connections': ['', 'max-connections 33;'],
  'qmgr recipients-per-transaction': ['', 'recipients-per-transaction 3;'],
  'qmgr min-free-space': ['', 'min-free-space 3K;'],
  'qmgr session-limit': ['', 'session-limit 3;'],
  'qmgr local-reserve': ['', 'local-reserve 3%;'],
  'qmgr remote-reserve': ['', 'remote-reserve 3%;'],
  'qmgr destination-backlog': ['', 'destination-backlog 3;'],
  'throttle active-entries': ['', 'active-entries wait 300% refuse 400% relief 200%;'],
  'throttle active-size': ['', 'active-size wait 300% refuse 400% relief 200%;'],
  'throttle sessions': ['', 'sessions wait 70% refuse 80% relief 60%;'],
  'throttle intake-rate': ['', 'intake-rate wait 30/s refuse 40/s relief 20/s;'],
  'throttle memory': ['', 'memory wait 300M refuse 400M relief 200M;'],
  'throttle disk-space': ['', 'disk-space wait 300% refuse 200% relief 400%;'],
  'throttle inodes': ['', 'inodes wait 300 refuse 200 relief 400;'],
  'throttle lag': ['', 'lag wait 300ms refuse 400ms relief 200ms;'],
  'throttle longest-wait': ['', 'longest-wait 3s;'],
  'limits client': ['', 'client connections 3 messages 30/h;'],
  'limits network': ['', 'network recipients 30/10m;'],
  'limits uid': ['', 'uid octets 30M/1d;'],
  'limits user': ['', 'user messages 30/h;'],
  'limits exempt': ['', 'exempt { 192.0.2.1; };'],
  'limits exempt-users': ['', 'exempt-users { 3; };'],
  'limits table-size': ['', 'table-size 300;'],
  'lda limit': ['', 'limit 3;'],
  'lda idle-timeout': ['', 'idle-timeout 3s;'],
  'lda command-timeout': ['', 'command-timeout 3s;'],
  'lda mailbox-lifetime': ['', 'mailbox-lifetime 3d;'],
  'smtpc tls-certificate': ['tls-certificate "/a"; tls-key "/k";', 'tls-certificate "/b"; tls-key "/k";'],
  'smtpc tls-key': ['tls-certificate "/a"; tls-key "/k";', 'tls-certificate "/a"; tls-key "/l";'],
  'smtpc proxy': ['', 'proxy "socks5://u:p@[::1]";'],
  'smtpc tls': ['', 'tls none;'],
  'smtpc tls-names': ['', 'tls-names "a.example";'],
  'smtpc ca-file': ['', 'ca-file "/ca.pem";'],
  'smtpc eight-bit': ['', 'eight-bit refuse;'],
  'smtpc connection-idle': ['', 'connection-idle 3s;'],
  'smtpc transactions-per-connection': ['', 'transactions-per-connection 3;'],
  'smtpc connect-timeout': ['', 'connect-timeout 3s;'],
  'smtpc greeting-timeout': ['', 'greeting-timeout 3s;'],
  'smtpc helo-timeout': ['', 'helo-timeout 3s;'],
  'smtpc mail-timeout': ['', 'mail-timeout 3s;'],
  'smtpc rcpt-timeout': ['', 'rcpt-timeout 3s;'],
  'smtpc data-initiation-timeout': ['', 'data-initiation-timeout 3s;'],
  'smtpc data-block-timeout': ['', 'data-block-timeout 3s;'],
  'smtpc data-termination-timeout': ['', 'data-termination-timeout 3s;'],
  'smtpc quit-timeout': ['', 'quit-timeout 3s;'],
  'resolver nameservers': ['', 'nameservers { 192.0.2.53; };'],
  'resolver timeout': ['', 'timeout 3s;'],
  'resolver attempts': ['', 'attempts 3;'],
  'resolver cache-entries': ['', 'cache-entries 3;'],
  'resolver cache-size': ['', 'cache-size 1M;'],
  'reports send': ['', 'send yes;'],
  'reports tls': ['', 'tls yes;'],
  'reports from': ['tls yes;', 'tls yes; from "dmarc@example.org";'],
  'reports organization': ['send yes;', 'send yes; organization "Example Inc";'],
  'reports entries': ['send yes;', 'send yes; entries 500;'],
  'web port': [WEB, WEB.replace('80', '81')],
  'web address': [WEB, `${WEB} address 127.0.0.9;`],
  'web socket': [WEB, `${WEB} socket "w.sock";`],
  'web tls': [`${WEB} address any;`, `${WEB} address any; tls "t";`],
  'web domains': [WEB, `${WEB} domains { "other.example"; };`],
  'web mta-sts': [WEB, WEB.replace('testing', 'enforce')],
  'web mx': [WEB, `${WEB} mx "mx.example.org" "*.example.net";`],
  'web max-age': [WEB, `${WEB} max-age 1d;`],
  'web imap': [PROGRAMS, `${PROGRAMS} imap "imap.example.org";`],
  'web pop3': [PROGRAMS.replace('pop3', 'imap'), `${PROGRAMS.replace('pop3', 'imap')} pop3 "p.example.org";`],
  'web submission': [PROGRAMS, PROGRAMS.replace('smtp', 'other')],
  'web login': [PROGRAMS, `${PROGRAMS} login local-part;`],
  'resolver dnssec': ['', UNBOUND],
  'resolver unbound-program': [UNBOUND, 'dnssec unbound; unbound-program "/bin/ls"; trust-anchor "/bin/sh";'],
  'resolver unbound-port': [UNBOUND, `${UNBOUND} unbound-port 3;`],
  'resolver unbound-forward': [UNBOUND, `${UNBOUND} unbound-forward { 192.0.2.53 port 54; };`],
  'resolver trust-anchor': [UNBOUND, 'dnssec unbound; unbound-program "/bin/sh"; trust-anchor "/bin/ls";'],
  'resolver mta-sts': ['', 'mta-sts no;'],
  'resolver mta-sts-ca-file': ['', 'mta-sts-ca-file "/ca.pem";'],
  'resolver smtp-port': ['', 'smtp-port 3;'],
  'resolver recipient-delimiter': ['', 'recipient-delimiter "";'],
  'processes smtpd': ['', 'smtpd 3;'],
  'processes qmgr-user': ['', 'qmgr-user "x";'],
  'processes smtpd-user': ['', 'smtpd-user "x";'],
  'processes submission-user': ['', 'submission-user "x";'],
  'processes submission': ['', 'submission 3;'],
  'processes smtpc-user': ['', 'smtpc-user "x";'],
  'processes resolver-user': ['', 'resolver-user "x";'],
  'processes unbound-user': ['', 'unbound-user "x";'],
  'processes group': ['', 'group "x";'],
  'processes restart-budget': ['', 'restart-budget 3;'],
  'processes restart-window': ['', 'restart-window 3s;'],
  'processes restart-delay': ['', 'restart-delay 3s;'],
  'processes restart-delay-limit': ['', 'restart-delay-limit 3s;'],
  'processes heartbeat-interval': ['', 'heartbeat-interval 3s;'],
  'processes heartbeat-patience': ['', 'heartbeat-patience 33s;'],
  'processes drain-timeout': ['', 'drain-timeout 3s;'],
  'channel file': ['stderr;', 'file "/x" size 3M versions 4;'],
  'channel stderr': ['file "/x";', 'stderr;'],
  'channel severity': ['stderr;', 'stderr; severity debug;'],
  'logging channel': ['', 'channel "y" { file "/y"; };'],
  'logging category': [
    'channel "y" { file "/y"; };',
    'channel "y" { file "/y"; }; category default { "y"; };',
  ],
  'controls unix': ['', 'unix "x.sock" perm 0600;'],
  'controls queue': ['', 'queue "x.sock";'],
  'controls users': ['', 'users { 77; };'],
}

function slicesOf(block: string, inside: string): Slices {
  const frame = frames[block] ?? ((text: string) => `${block} { ${text} }; ${others}`)
  const checked = loadConfigText(frame(inside), '/etc/posthorn/posthorn.conf', machine)
  if (checked.kind === 'bad') throw new Error(`${block} { ${inside} }: ${printProblems(checked.problems)}`)
  return checked.slices
}

const readers: Partial<Record<keyof Slices, string>> = { submission: 'smtpd', agentLda: 'lda' }

for (const block of allBlocks) {
  for (const [name, option] of Object.entries(block.options)) {
    const key = `${block.name} ${name}`
    test(`${key} reaches whom the table says`, { timeout }, () => {
      const [before, after] = samples[key] ?? assert.fail(`no sample of ${key}`)
      const one = slicesOf(block.name, before)
      const other = slicesOf(block.name, after)
      const changed = (Object.keys(one) as (keyof Slices)[]).filter((role) => {
        return printed(one[role]) !== printed(other[role])
      })
      // the two kinds of smtpd are one reader, and those of lda
      const told = changed.map((role) => readers[role] ?? role)
      assert.deepEqual(new Set<string>(told), new Set<string>(option.readers))
    })
  }
}

/**
 * Without places in the file, which move with every option that stands before them, and without what the rule book has
 * of the way out: nothing acts by it, it is read out to who asks why.
 */
function printed(slice: unknown): string {
  const readOut = new Set(['zones', 'servers', 'classes', 'outgoing'])
  const told = (key: string, value: unknown): unknown =>
    key === 'rules' && value !== null && typeof value === 'object' && 'outgoing' in value
      ? Object.fromEntries(Object.entries(value).filter(([name]) => !readOut.has(name)))
      : value
  return JSON.stringify(slice, told).replace(/:\d+:\d+"/g, '"')
}

test('every sample is of an option', { timeout }, () => {
  const known = new Set(
    allBlocks.flatMap(({ name, options }) => Object.keys(options).map((one) => `${name} ${one}`)),
  )
  for (const key of Object.keys(samples)) assert.ok(known.has(key), key)
})
