/**
 * The option table, the part about the way to other servers: the certificate that is shown, the proxy that is gone
 * through. `smtpc` says it for all, a `zone` for mail to it, a `server` section for its hosts; that is also the order
 * in which the last word counts.
 */
import { maybe } from './blocks.ts'
import { path as pathType, quote, type Type } from './types.ts'
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

/** How hosts are reached; null: the more general word counts. */
export interface OutgoingWay {
  /** What we show as a client: paths, read by smtpc. */
  identity: { certificate: string; key: string } | null
  proxy: ProxyUse | null
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

/** @param only the kinds of section that have them; null: all. */
export function outgoing(only: readonly string[] | null, usual: string) {
  const about = { readers: ['smtpc'], usual, ...(only && { only }) } as const
  return {
    'tls-certificate': maybe(pathType, {
      doc: 'Our certificate as a client, in PEM, for hosts that ask for one. Where it is set there is no going on in clear.',
      ...about,
    }),
    'tls-key': maybe(pathType, { doc: 'Its key, in PEM, readable for `smtpc-user`.', ...about }),
    proxy: maybe(proxyUse, {
      doc: 'Connections go through this proxy, by SOCKS5 (RFC 1928) or by CONNECT of HTTP; names are still looked up here.',
      ...about,
    }),
  } as const
}
