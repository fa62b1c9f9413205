/**
 * The option table, fourth part: certificates, and who may log in. See `options.ts`.
 */
import { block, many, maybe, needed, one, sectionName } from './blocks.ts'
import { authMechanisms, oauthUrl } from './login-values.ts'
import * as t from './types.ts'

export const tlsBlock = block('tls', sectionName, 'A certificate with its key, for listeners.', {
  certificate: needed(t.path, { doc: 'The certificate with its chain, PEM.', readers: ['mcp', 'smtpd'] }),
  key: needed(t.path, { doc: 'The private key, PEM.', readers: ['mcp', 'smtpd'] }),
  'minimum-version': one(t.oneOf('1.2', '1.3'), '1.2', {
    doc: 'The oldest version of TLS that is spoken (RFC 8996: nothing below 1.2).',
    readers: ['mcp', 'smtpd'],
  }),
  'client-ca': maybe(t.path, {
    doc: 'Clients are asked for a certificate; one that is signed by these (PEM) is believed.',
    readers: ['mcp', 'smtpd'],
  }),
  'client-certificate': one(t.oneOf('optional', 'required'), 'optional', {
    doc: 'Only with `client-ca`: whether a client without a good certificate is sent away.',
    readers: ['mcp', 'smtpd'],
  }),
})

export const authBlock = block(
  'auth',
  sectionName,
  'How users log in (RFC 4954). The first of `passwords`, `dovecot` and `saslauthd` that is given judges passwords.',
  {
    passwords: maybe(t.path, {
      doc: 'A file of lines `login:hash`, made by `posthorn passwd`; hashes of Dovecot and of /etc/shadow fit as well.',
      readers: ['mcp', 'smtpd'],
    }),
    dovecot: maybe(t.path, {
      doc: "The socket of Dovecot's auth service for clients (`unix_listener auth-client`); its other mechanisms are offered too.",
      readers: ['mcp', 'smtpd'],
    }),
    saslauthd: maybe(t.path, {
      doc: 'The socket of saslauthd (`/run/saslauthd/mux`), which asks PAM, service `smtp`.',
      readers: ['mcp', 'smtpd'],
    }),
    certificates: one(t.oneOf('yes', 'no'), 'no', {
      doc: 'Mechanism EXTERNAL: the addresses, or else the name, in a client certificate that `client-ca` has signed.',
      readers: ['mcp', 'smtpd'],
    }),
    'oauth-jwks': maybe(oauthUrl, {
      doc: 'Tokens are JSON Web Tokens, signed by a key of this set (RFC 7517, RFC 7519); `oauth-issuer` and `oauth-audience` are needed with it.',
      readers: ['mcp', 'smtpd'],
    }),
    'oauth-introspection': maybe(oauthUrl, {
      doc: 'Tokens are shown to this server (RFC 7662).',
      readers: ['mcp', 'smtpd'],
    }),
    'oauth-client': maybe(t.text, {
      doc: 'Our name at the introspecting server.',
      readers: ['mcp', 'smtpd'],
    }),
    'oauth-secret': maybe(t.path, {
      doc: 'A file with our password there.',
      readers: ['mcp', 'smtpd'],
    }),
    'oauth-issuer': maybe(t.text, { doc: 'Who must have issued a token, `iss`.', readers: ['mcp', 'smtpd'] }),
    'oauth-audience': maybe(t.text, { doc: 'For whom it must be, `aud`.', readers: ['mcp', 'smtpd'] }),
    'oauth-scope': maybe(t.text, { doc: 'What it must allow, `scope`.', readers: ['mcp', 'smtpd'] }),
    'oauth-login': maybe(t.text, {
      doc: 'The claim that is the login.',
      usual: '`email` with `oauth-jwks`, `username` with `oauth-introspection`',
      readers: ['mcp', 'smtpd'],
    }),
    mechanisms: many(t.series(authMechanisms, 20), {
      doc: 'Mechanisms that may be offered.',
      usual: 'all that the rest allows; SCRAM where every account has its keys',
      readers: ['mcp', 'smtpd'],
    }),
  },
)
