/**
 * msmtp's configuration (msmtp(1)) as accounts.conf. Pure: text in, text out.
 *
 * What has no counterpart, or would make things less safe (`tls off`, `tls_certcheck off`), becomes a comment that
 * says so. A password in the clear is not carried over: msmtp's own place in the keyring is named instead, with the
 * command that puts it there.
 */
import { quote } from '../../shared/config/types.ts'

interface Section {
  name: string
  /** With those of the defaults and the parents, as they were above. */
  settings: Map<string, string>
}

export function importMsmtp(text: string): string {
  const { sections, usual } = readSections(text)
  const rendered = sections.map((section) => renderAccount(section, usual === section.name))
  return `// made by \`posthorn account import\`; see \`posthorn account options\`\n${rendered.join('')}`
}

function readSections(text: string): { sections: Section[]; usual: string } {
  const defaults = new Map<string, string>()
  const sections: Section[] = []
  let current = defaults
  let usual = 'default'
  for (const line of text.split(/\r?\n/)) {
    const [, word = '', rest = ''] = /^\s*([a-z_]+)\s*(.*?)\s*$/.exec(line) ?? []
    if (word === '') continue
    if (word === 'defaults') current = defaults
    else if (word === 'account') {
      const { name, parents } = readName(rest)
      const above = parents.flatMap((one) => [
        ...(sections.find((known) => known.name === one)?.settings ?? []),
      ])
      current = new Map([...defaults, ...above])
      // `account default : work` only says which account is the default
      if (name === 'default' && parents.length === 1) usual = parents[0] ?? ''
      else sections.push({ name, settings: current })
    } else current.set(word, unquoted(rest))
  }
  return { sections, usual }
}

/** `home : work, other` */
function readName(text: string): { name: string; parents: string[] } {
  const [name = '', parents = ''] = text.split(/\s*:\s*/)
  return { name, parents: parents.split(/\s*,\s*/).filter((one) => one !== '') }
}

function unquoted(text: string): string {
  return /^".*"$/s.test(text) ? text.slice(1, -1) : text
}

type Settings = ReadonlyMap<string, string>

function renderAccount({ name, settings }: Section, usual: boolean): string {
  const lines = [
    ...rendererOrder.flatMap((render) => render(settings)),
    ...(usual ? ['default;'] : []),
    ...notes(settings),
  ]
  const safe = name.replace(/[^a-z0-9_.-]/gi, '-')
  return `\naccount "${safe}" {\n${lines.map((line) => `    ${line}\n`).join('')}};\n`
}

const isOff = (value: string | undefined) => value === 'off'

const rendererOrder: readonly ((settings: Settings) => string[])[] = [
  (s) => option(s, 'from', 'from'),
  (s) => {
    const host = s.get('host')
    const port = s.get('port')
    return host === undefined ? [] : [`host ${quote(host)}${port ? ` port ${port}` : ''};`]
  },
  (s) => (s.get('protocol') === 'lmtp' ? ['protocol lmtp;'] : []),
  (s) => [`tls ${isOff(s.get('tls_starttls')) ? 'implicit' : 'starttls'};`],
  (s) => (s.get('tls_trust_file') === 'system' ? [] : option(s, 'tls_trust_file', 'tls-trust')),
  (s) => (isSha256(s.get('tls_fingerprint')) ? option(s, 'tls_fingerprint', 'tls-fingerprint') : []),
  (s) => option(s, 'tls_cert_file', 'tls-certificate'),
  (s) => option(s, 'tls_key_file', 'tls-key'),
  (s) => option(s, 'domain', 'hello'),
  (s) => {
    const [host, port] = [s.get('proxy_host'), s.get('proxy_port')]
    return host ? [`socks5 ${quote(host)}${port ? ` port ${port}` : ''};`] : []
  },
  (s) => (Number(s.get('timeout')) > 0 ? [`timeout ${s.get('timeout')}s;`] : []),
  renderAuth,
]

function option(settings: Settings, theirs: string, ours: string): string[] {
  const value = settings.get(theirs)
  return value ? [`${ours} ${quote(value)};`] : []
}

function isSha256(text: string | undefined): boolean {
  return (text ?? '').replaceAll(':', '').length === 64
}

const mechanismOf: Readonly<Record<string, string>> = {
  plain: 'plain',
  login: 'login',
  'scram-sha-256': 'scram-sha-256',
  'scram-sha-256-plus': 'scram-sha-256-plus',
  oauthbearer: 'oauthbearer',
  xoauth2: 'xoauth2',
}

function renderAuth(settings: Settings): string[] {
  const auth = settings.get('auth') ?? 'off'
  const user = settings.get('user')
  if (auth === 'off' || user === undefined) return []
  const mechanism = mechanismOf[auth]
  const command = settings.get('passwordeval')
  const what = mechanism === 'oauthbearer' || mechanism === 'xoauth2' ? 'token-command' : 'password-command'
  const keyring = `host ${quote(settings.get('host') ?? '')} service "smtp" user ${quote(user)}`
  const written = keyring.replace(/(host|service|user) /g, '"$1" ')
  return [
    `auth user ${quote(user)}${mechanism ? ` ${mechanism}` : ''};`,
    !command ? `password-from secret-tool ${written};` : `${what} ${quote(command)};`,
  ]
}

/** Settings that came over, or that change nothing that matters here. */
const KNOWN = new Set(
  `from host port protocol tls tls_starttls tls_trust_file tls_fingerprint tls_cert_file tls_key_file domain
  proxy_host proxy_port timeout auth user password passwordeval tls_certcheck logfile syslog logfile_time_format
  set_date_header set_msgid_header set_from_header remove_bcc_headers undisclosed_recipients auto_from maildomain
  dsn_notify dsn_return`.split(/\s+/),
)

function notes(settings: Settings): string[] {
  const host = settings.get('host') ?? ''
  const user = settings.get('user') ?? ''
  const unknown = [...settings.keys()].filter((name) => !KNOWN.has(name))
  const auth = settings.get('auth')
  const odd = auth !== undefined && !['on', 'off', ...Object.keys(mechanismOf)].includes(auth)
  return [
    ...(settings.get('tls') === 'on' ? [] : ['// msmtp used no TLS here; it is always used now']),
    ...(isOff(settings.get('tls_certcheck'))
      ? ['// msmtp did not check the certificate; it is always checked now']
      : []),
    ...(settings.has('tls_fingerprint') && !isSha256(settings.get('tls_fingerprint'))
      ? ['// tls_fingerprint was none of SHA-256: `openssl x509 -fingerprint -sha256` prints one']
      : []),
    ...(settings.has('password')
      ? [
          `// the password stays where it is; keep it by: secret-tool store --label=mail host ${host} service smtp user ${user}`,
        ]
      : []),
    ...(odd ? [`// auth ${auth} is not known here`] : []),
    ...unknown.map((name) => `// ${name} has no counterpart`),
  ]
}
