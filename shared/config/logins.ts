/**
 * `tls` and `auth` sections as listeners use them, and the rules between their options. Fails: problems, never
 * exceptions.
 */

import type { AuthSlice, OAuthSlice } from './login-slices.ts'
import type { authBlock, listenerBlock, tlsBlock } from './options.ts'
import type { Problems } from './problem.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import type { ListenerSlice, TlsContextSlice } from './slices.ts'
import { suggestion } from './suggest.ts'

type Listener = Section<typeof listenerBlock>
type Auth = Section<typeof authBlock>

const IMPLICIT_TLS_PORT = 465

export function tlsOf(listener: Listener, config: Config, problems: Problems): ListenerSlice['tls'] {
  const use = listener.values.tls
  if (use === null) {
    if (listener.where.has('sni'))
      problems.error(placeOf(listener, 'sni'), '`sni` without `tls`', 'name the usual section with `tls`')
    return { mode: 'none', context: null, sni: [] }
  }
  const context = findTls(use.name, listener, 'tls', config, problems)
  const names = listener.values.sni.flat()
  const sni = names.flatMap((name) => findTls(name, listener, 'sni', config, problems) ?? [])
  if (!context) return { mode: 'none', context: null, sni: [] }
  for (const one of sni) checkAlike(one, context, listener, problems)
  const mode = use.mode ?? (listener.values.port === IMPLICIT_TLS_PORT ? 'implicit' : 'starttls')
  return { mode, context, sni }
}

/**
 * What a client is asked for is settled before the name that it asks for picks a certificate. A section that differed
 * would believe certificates that the other one does not, or none where it demands one.
 */
function checkAlike(
  sni: TlsContextSlice,
  usual: TlsContextSlice,
  listener: Listener,
  problems: Problems,
): void {
  const alike = (['clientCa', 'clientCertificate', 'minimumVersion'] as const).every(
    (option) => sni[option] === usual[option],
  )
  if (alike) return
  problems.error(
    placeOf(listener, 'sni'),
    `tls section \`${sni.name}\` asks clients for other things than \`${usual.name}\``,
    'give both the same `client-ca`, `client-certificate` and `minimum-version`, or use another listener',
  )
}

function findTls(
  wanted: string,
  listener: Listener,
  option: 'tls' | 'sni',
  { tls }: Config,
  problems: Problems,
): TlsContextSlice | null {
  const found = tls.find(({ name }) => name === wanted)
  if (found) return askingSlice(found, problems)
  const names = tls.map(({ name }) => name)
  const hint = suggestion(wanted, names) ?? `add \`tls "${wanted}" { certificate "…"; key "…"; };\``
  problems.error(placeOf(listener, option), `there is no tls section \`${wanted}\``, hint)
  return null
}

/** For a listener, who may ask clients for a certificate. */
function askingSlice(section: Section<typeof tlsBlock>, problems: Problems): TlsContextSlice {
  if (section.values['client-ca'] === null && section.where.has('client-certificate'))
    problems.error(
      placeOf(section, 'client-certificate'),
      '`client-certificate` without `client-ca`: no client would be asked for one',
      'say whose certificates are believed: `client-ca "PATH";`',
    )
  return tlsSlice(section)
}

export function tlsSlice({ name, values }: Section<typeof tlsBlock>): TlsContextSlice {
  return {
    name,
    certificate: values.certificate ?? '',
    key: values.key ?? '',
    minimumVersion: values['minimum-version'],
    clientCa: values['client-ca'],
    clientCertificate: values['client-certificate'],
  }
}

export function authOf(
  listener: Listener,
  tls: ListenerSlice['tls'],
  config: Config,
  problems: Problems,
): ListenerSlice['auth'] {
  const { auth: use, 'auth-without-tls': without } = listener.values
  if (use === null) {
    for (const option of ['auth-without-tls', 'sender-login'] as const)
      if (listener.where.has(option))
        problems.error(placeOf(listener, option), `\`${option}\` without \`auth\`: nobody can log in here`)
    return null
  }
  const found = config.auth.find(({ name }) => name === use.name)
  if (!found) {
    const hint =
      suggestion(
        use.name,
        config.auth.map(({ name }) => name),
      ) ?? `add \`auth "${use.name}" { passwords "…"; };\``
    problems.error(placeOf(listener, 'auth'), `there is no auth section \`${use.name}\``, hint)
    return null
  }
  if (tls.mode === 'none' && without === 'no')
    problems.error(
      placeOf(listener, 'auth'),
      `nobody could log in on listener \`${listener.name}\`: it has no TLS`,
      'add `tls`, or `auth-without-tls yes;` if nobody can listen in',
    )
  return { use: authSlice(found), required: use.required, withoutTls: without === 'yes' }
}

function authSlice(auth: Auth): AuthSlice {
  const { values } = auth
  const kinds = { passwords: 'file', dovecot: 'dovecot', saslauthd: 'saslauthd' } as const
  const [passwords = null] = (['passwords', 'dovecot', 'saslauthd'] as const).flatMap((option) => {
    const path = values[option]
    return path === null ? [] : [{ kind: kinds[option], path }]
  })
  return {
    name: auth.name,
    passwords,
    certificates: values.certificates === 'yes',
    oauth: oauthOf(auth),
    mechanisms: values.mechanisms.flat(),
  }
}

function oauthOf({ values }: Auth): OAuthSlice | null {
  const { 'oauth-jwks': jwks, 'oauth-introspection': introspection } = values
  const [issuer, audience, scope] = [values['oauth-issuer'], values['oauth-audience'], values['oauth-scope']]
  const login = values['oauth-login']
  if (jwks !== null)
    return {
      kind: 'jwks',
      url: jwks,
      issuer: issuer ?? '',
      audience: audience ?? '',
      scope,
      login: login ?? 'email',
    }
  if (introspection === null) return null
  const [client, secret] = [values['oauth-client'], values['oauth-secret']]
  return {
    kind: 'introspection',
    url: introspection,
    client,
    secret,
    issuer,
    audience,
    scope,
    login: login ?? 'username',
  }
}

/** What no single option can say. */
export function checkAuth(auth: Auth, problems: Problems): void {
  const { values } = auth
  // what was meant and not understood is there all the same
  const judges = (['passwords', 'dovecot', 'saslauthd'] as const).filter((option) => auth.meant.has(option))
  const tokens = (['oauth-jwks', 'oauth-introspection'] as const).filter((option) => auth.meant.has(option))
  for (const [, second] of [judges, tokens])
    if (second)
      problems.error(
        placeOf(auth, second),
        `auth \`${auth.name}\` has two judges of the same thing`,
        'make two `auth` sections of it',
      )
  if (judges.length + tokens.length === 0 && values.certificates === 'no')
    problems.error(auth.at, `auth \`${auth.name}\` lets nobody in`, 'add `passwords "FILE";`')
  if (values['oauth-jwks'] !== null)
    for (const option of ['oauth-issuer', 'oauth-audience'] as const)
      if (values[option] === null)
        problems.error(
          placeOf(auth, 'oauth-jwks'),
          `\`oauth-jwks\` needs \`${option}\``,
          'a token for another service would be as good',
        )
  if (tokens.length > 0) return
  for (const option of auth.where.keys())
    if (option.startsWith('oauth-'))
      problems.error(
        placeOf(auth, option as keyof Auth['values']),
        `\`${option}\` without \`oauth-jwks\` or \`oauth-introspection\``,
      )
}
