/**
 * From a request to its answer. Pure: a table of what is served under which name, and nothing besides; no path ever
 * reaches a file system, and a path that is not written exactly as here is not found (but for autodiscover's, which
 * its askers write in several ways).
 *
 * | host | path | method |
 * |---|---|---|
 * | `mta-sts.DOMAIN` | `/.well-known/mta-sts.txt` | GET |
 * | `autoconfig.DOMAIN`, `DOMAIN` | `/mail/config-v1.1.xml`, `/.well-known/autoconfig/mail/config-v1.1.xml` | GET |
 * | `autodiscover.DOMAIN`, `DOMAIN` | `/autodiscover/autodiscover.xml` | POST |
 * | `autoconfig.DOMAIN`, `DOMAIN` | `/email.mobileconfig?email=ADDRESS` | GET |
 *
 * HEAD is GET without its content. Another host or path is 404, another method 405.
 * Next: `pages.ts` (the texts), `server.ts` (the sockets).
 */
import type { WebSlice } from '../../shared/config/slices.ts'
import {
  autodiscover,
  clientConfig,
  notDiscovered,
  type Policy,
  type Programs,
  policyText,
  profile,
} from './pages.ts'

export interface Request {
  method: string
  /** As in the request line. */
  target: string
  host: string
}

export interface Page {
  status: number
  type: string
  text: string
  allow?: string
}

/** `body`: the answer depends on what follows the header, which may have LONGEST_BODY octets. */
export type Plan = { kind: 'page'; page: Page } | { kind: 'body'; answer: (body: string) => Page }

export const LONGEST_BODY = 16_384

const TEXT = 'text/plain; charset=utf-8'
const XML = 'application/xml; charset=utf-8'
const PROFILE = 'application/x-apple-aspen-config; charset=utf-8'

export function plain(status: number, text: string): Page {
  return { status, type: TEXT, text: `${text}\n` }
}

type Said = Pick<WebSlice, 'domains' | 'policy' | 'programs'>
type Resource = 'policy' | 'client-config' | 'autodiscover' | 'profile'

const PATHS: ReadonlyMap<string, Resource> = new Map([
  ['/.well-known/mta-sts.txt', 'policy'],
  ['/mail/config-v1.1.xml', 'client-config'],
  ['/.well-known/autoconfig/mail/config-v1.1.xml', 'client-config'],
  ['/autodiscover/autodiscover.xml', 'autodiscover'],
  ['/email.mobileconfig', 'profile'],
])
/** What stands before the domain. */
const PREFIXES: Readonly<Record<Resource, readonly string[]>> = {
  policy: ['mta-sts.'],
  'client-config': ['autoconfig.', ''],
  autodiscover: ['autodiscover.', ''],
  profile: ['autoconfig.', ''],
}

export class Site {
  readonly #said: Said
  readonly #domains: ReadonlySet<string>

  constructor(said: Said) {
    this.#said = said
    this.#domains = new Set(said.domains)
  }

  plan({ method, target, host }: Request): Plan {
    const [path = '', query = ''] = target.split('?', 2)
    const resource = PATHS.get(path) ?? PATHS.get(path.toLowerCase())
    if (!resource || (resource !== 'autodiscover' && !PATHS.has(path))) return notFound
    const domain = this.#domainOf(host, PREFIXES[resource])
    const { policy, programs } = this.#said
    if (domain === null) return notFound
    if (resource === 'policy') return policy ? onGet(method, () => this.#policy(policy)) : notFound
    if (!programs) return notFound
    if (resource === 'client-config')
      return onGet(method, () => ({ status: 200, type: XML, text: clientConfig(domain, programs) }))
    if (resource === 'profile') return onGet(method, () => this.#profile(query, programs))
    if (method !== 'POST') return refused('POST')
    return { kind: 'body', answer: (body) => this.#discover(body, programs) }
  }

  #domainOf(host: string, prefixes: readonly string[]): string | null {
    const name = host
      .toLowerCase()
      .replace(/:\d{1,5}$/, '')
      .replace(/\.$/, '')
    for (const prefix of prefixes) {
      const domain = name.startsWith(prefix) ? name.slice(prefix.length) : ''
      if (this.#domains.has(domain)) return domain
    }
    return null
  }

  #policy(policy: Policy): Page {
    return { status: 200, type: TEXT, text: policyText(policy) }
  }

  #discover(body: string, programs: Programs): Page {
    const found = /<(?:[\w-]{1,32}:)?EMailAddress>\s{0,64}([^<>&\s]{3,254})\s{0,64}</i.exec(body)?.[1]
    const address = this.#ourAddress(found ?? '')
    return {
      status: 200,
      type: XML,
      text: address === null ? notDiscovered() : autodiscover(address, programs),
    }
  }

  #profile(query: string, programs: Programs): Page {
    const parameters = new URLSearchParams(query)
    const address = this.#ourAddress(parameters.get('email') ?? parameters.get('emailaddress') ?? '')
    if (address === null) return plain(400, 'Say for whom: ?email=ADDRESS')
    return { status: 200, type: PROFILE, text: profile(address, programs) }
  }

  #ourAddress(text: string): string | null {
    const [, local, domain = ''] = /^([^\s@<>"'\\\p{Cc}]{1,64})@([^\s@]{1,253})$/u.exec(text) ?? []
    return local !== undefined && this.#domains.has(domain.toLowerCase())
      ? `${local}@${domain.toLowerCase()}`
      : null
  }
}

const notFound: Plan = { kind: 'page', page: plain(404, 'Not found') }

function refused(allow: string): Plan {
  return { kind: 'page', page: { ...plain(405, 'Method not allowed'), allow } }
}

function onGet(method: string, make: () => Page): Plan {
  return method === 'GET' || method === 'HEAD' ? { kind: 'page', page: make() } : refused('GET, HEAD')
}
