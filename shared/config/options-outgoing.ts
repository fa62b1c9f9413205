/**
 * The option table, the part about the way to other servers: what is demanded of TLS, the certificate that is shown,
 * the proxy that is gone through. `smtpc` says it for all, a `zone` for mail to it, a `server` section for its hosts;
 * that is also the order in which the last word counts.
 */
import { isIP } from 'node:net'
import { maybe } from './blocks.ts'
import { fullDomain, path as pathType, quote, series, type Type } from './types.ts'
import { bad, ok, type Reading } from './units.ts'

/** SOCKS5 (RFC 1928) or CONNECT of HTTP (RFC 9110 section 9.3.6), with a password (RFC 1929, RFC 7617) or without. */
export interface OutgoingProxy {
  kind: 'socks5' | 'http'
  host: string
  port: number
  login: { user: string; password: string } | null
}

/** none: straight, whatever is usual. */
export type ProxyUse = OutgoingProxy | 'none'

export const TLS_LEVELS = ['none', 'opportunistic', 'encrypt', 'verify', 'dane', 'dane-only'] as const

/** What is demanded of TLS; `services/smtpc/tls-policy.ts` says what each level means. */
export interface TlsRule {
  level: (typeof TLS_LEVELS)[number] | 'fingerprint'
  /** SHA-256 of a certificate or its public key, hexadecimal, lower case; of level fingerprint only. */
  fingerprints: string[]
}

/** Addresses of ours that connections go out from. */
export interface Source {
  addresses: string[]
  /** One after another; otherwise by the name of the host. */
  turns: boolean
}

/** How hosts are reached; null: the more general word counts. */
export interface OutgoingWay {
  tls: TlsRule | null
  /** Names that a certificate may have in place of the host's; `.suffix` for all below one. */
  tlsNames: string[] | null
  /** PEM; whom to trust where a connection must be verified. */
  caFile: string | null
  /** What we show as a client: paths, read by smtpc. */
  identity: { certificate: string; key: string } | null
  proxy: ProxyUse | null
  source: Source | null
  /** In EHLO. */
  helo: string | null
}

/** IANA's port of SOCKS; HTTP proxies have none of their own, and most listen there. */
const USUAL_PORT = { socks5: 1080, http: 8080 } as const
const LONGEST_LOGIN = 255

/** `none`, or a URL that `readProxy` reads. */
const proxyUse: Type<string> = {
  syntax: 'none | "socks5://[USER:PASSWORD@]HOST[:PORT]" | "http://[USER:PASSWORD@]HOST[:PORT]"',
  read: (args) => {
    if (args.keyword('none')) return 'none'
    return args.parse('"socks5://HOST:PORT"', (text) => {
      const read = readProxy(text)
      return read.kind === 'ok' ? ok(text) : read
    })
  },
  valid: (value) => value === 'none' || (typeof value === 'string' && readProxy(value).kind === 'ok'),
  print: (value) => (value === 'none' ? value : quote(value)),
}

export function proxyFrom(text: string): ProxyUse {
  const read = readProxy(text)
  return read.kind === 'ok' ? read.value : 'none'
}

function readProxy(text: string): Reading<OutgoingProxy> {
  const hint = 'for example `socks5://127.0.0.1:9050`'
  const url = URL.canParse(text) ? new URL(text) : null
  if (!url || !/^[a-z0-9]+:\/\//i.test(text)) return bad(`\`${text}\` is no proxy`, hint)
  // socks5h leaves names to the proxy: it is given addresses, so that is the same
  const kind = url.protocol === 'http:' ? 'http' : /^socks5h?:$/.test(url.protocol) ? 'socks5' : null
  if (!kind) return bad(`${url.protocol.slice(0, -1)} is not known here`, hint)
  if (url.hostname === '' || !/^\/?$/.test(url.pathname) || url.search || url.hash)
    return bad(`\`${text}\` is no proxy`, hint)
  const login = url.username === '' ? null : { user: plain(url.username), password: plain(url.password) }
  const longest = login ? Math.max(Buffer.byteLength(login.user), Buffer.byteLength(login.password)) : 0
  if (longest > LONGEST_LOGIN) return bad('the login is too long', `at most ${LONGEST_LOGIN} octets`)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  // 80 is what URL leaves out of the text of one of http
  const said = url.port || (/:0*80\/?$/.test(text) ? '80' : '')
  const given = said === '' ? USUAL_PORT[kind] : Number(said)
  return given > 0 ? ok({ kind, host, port: given, login }) : bad(`${given} is no port`, hint)
}

/** A per cent sign that begins no escape stands for itself. */
function plain(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (escaped) =>
    Buffer.from(escaped.replaceAll('%', ''), 'hex').toString(),
  )
}

const MOST_FINGERPRINTS = 20
const MOST_NAMES = 50

/** SHA-256, with colons or without. */
const fingerprint: Type<string> = {
  syntax: '"SHA256"',
  read: (args) =>
    args.parse('"SHA256"', (text) => {
      const bare = text.replaceAll(':', '').toLowerCase()
      return /^[0-9a-f]{64}$/.test(bare)
        ? ok(bare)
        : bad(
            `\`${text}\` is no SHA-256 fingerprint`,
            '64 hexadecimal digits, as `openssl x509 -fingerprint -sha256 -noout` prints them',
          )
    }),
  valid: (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
  print: quote,
}
const fingerprints = series(fingerprint, MOST_FINGERPRINTS)

export const tlsRule: Type<TlsRule> = {
  syntax: `${TLS_LEVELS.join(' | ')} | fingerprint "SHA256" …`,
  read: (args) => {
    const level = args.oneOf([...TLS_LEVELS, 'fingerprint'])
    if (level === undefined) return undefined
    if (level !== 'fingerprint') return { level, fingerprints: [] }
    const list = fingerprints.read(args)
    return list && { level, fingerprints: list }
  },
  valid: (value) => typeof value === 'object' && value !== null,
  print: ({ level, fingerprints: list }) =>
    level === 'fingerprint' ? `${level} ${fingerprints.print(list)}` : level,
}

/** A name of a certificate, or `.suffix`. */
const tlsName: Type<string> = {
  ...fullDomain,
  syntax: '"NAME"',
  read: (args) => {
    const word = args.peekWord()
    const below = word?.text.startsWith('*.') && word.text.slice(1)
    if (word && below)
      return args.fail(word, `\`${word.text}\` is no name`, `\`${below}\` is any name below it`)
    if (!word?.text.startsWith('.')) return fullDomain.read(args)
    return args.parse('"NAME"', (text) =>
      /^(?:\.[a-z0-9_-]{1,63})+$/i.test(text) ? ok(text.toLowerCase()) : bad(`\`${text}\` is no domain name`),
    )
  },
  valid: (value) => typeof value === 'string',
}

/** Whatever the domain has published. */
export const PUBLISHED: TlsRule = { level: 'dane', fingerprints: [] }

export const TLS_DOC =
  "TLS towards hosts: `none`: never; `opportunistic`: where offered, nothing checked; `encrypt`: never in clear; `verify`: and a certificate for the host's name, from an authority of `ca-file`; `dane`: as the domain has published, by DANE (RFC 7672) or MTA-STS (RFC 8461), else opportunistic; `dane-only`: only hosts that DANE proves; `fingerprint`: only who shows one of these certificates or keys. Where it is not met, mail waits."

const MOST_SOURCES = 256

const source: Type<Source> = {
  syntax: 'ADDRESS … [by turns]',
  read: (args) => {
    const addresses: string[] = []
    do {
      const address = args.parse('ADDRESS', (text) =>
        isIP(text) !== 0 && !text.includes('%')
          ? ok(text.toLowerCase())
          : bad(`\`${text}\` is no address`, 'an IP address of this machine'),
      )
      if (address === undefined) return undefined
      addresses.push(address)
    } while (args.peekWord() && args.peekWord()?.text !== 'by' && addresses.length < MOST_SOURCES)
    if (!args.keyword('by')) return { addresses, turns: false }
    return args.oneOf(['turns']) && { addresses, turns: true }
  },
  valid: (value) => typeof value === 'object' && value !== null,
  print: ({ addresses, turns }) => `${addresses.join(' ')}${turns ? ' by turns' : ''}`,
}

/** @param only the kinds of section that have them; null: all. */
export function outgoing(only: readonly string[] | null, usual: string) {
  const about = { readers: ['smtpc'], usual, ...(only && { only }) } as const
  return {
    tls: maybe(tlsRule, {
      doc: TLS_DOC,
      ...about,
    }),
    'tls-names': maybe(series(tlsName, MOST_NAMES), {
      doc: 'Names that `verify` accepts in a certificate in place of that of the host; `.example.org` for any below it.',
      ...about,
      ...(usual === 'none' && { usual: "the host's name" }),
    }),
    'ca-file': maybe(pathType, {
      doc: 'Certificates of the authorities to trust where a connection must be verified (`tls verify`, MTA-STS, REQUIRETLS), in PEM.',
      ...about,
      ...(usual === 'none' && { usual: 'those that Node comes with' }),
    }),
    'tls-certificate': maybe(pathType, {
      doc: 'Our certificate as a client, in PEM, for hosts that ask for one. Where it is set there is no going on in clear.',
      ...about,
    }),
    'tls-key': maybe(pathType, { doc: 'Its key, in PEM, readable for `smtpc-user`.', ...about }),
    source: maybe(source, {
      doc: 'Addresses of this machine to go out from: a host always gets the same one of its family, or `by turns` each the next; hosts of a family that is not among them are not tried. Not for what goes through a proxy.',
      ...about,
      usual: only === null && usual === 'none' ? 'the system chooses' : usual,
    }),
    helo: maybe(fullDomain, {
      doc: 'The name by which we introduce ourselves (EHLO); it should lead to the address that is gone out from.',
      ...about,
      usual: only === null && usual === 'none' ? '`hostname`' : usual,
    }),
    proxy: maybe(proxyUse, {
      doc: 'Connections go through this proxy, by SOCKS5 (RFC 1928) or by CONNECT of HTTP; names are still looked up here.',
      ...about,
    }),
  } as const
}
