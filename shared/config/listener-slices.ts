/**
 * What smtpd is told of each of its listeners; a part of `slices.ts`, which says what the units are.
 */
import type { BoundsSlice } from './bounds.ts'
import type { AccessRuleSlice, ScreeningSlice } from './client-slices.ts'
import type { FilterSlice } from './filter-slice.ts'
import type { AuthSlice } from './login-slices.ts'
import type { TableSlice } from './map-slices.ts'
import type { PatienceSlice, TarpitSlice } from './patience.ts'

/** Address match lists, BIND's: the first element that matches decides; `negated` turns it into a no. */
export interface AddressMatch {
  negated: boolean
  /** `192.0.2.0/24`, `2001:db8::/32`; a single address is /32 or /128. 'any' matches everything, 'local' the unix socket. */
  network: string
}
export type AddressMatchList = AddressMatch[]

/** The same with names of clients (`*` is any run of characters), and lists in lists where those have names. */
export type ClientMatch =
  | AddressMatch
  | { negated: boolean; name: string }
  | { negated: boolean; list: ClientMatchList }
export type ClientMatchList = ClientMatch[]

export interface TlsContextSlice {
  name: string
  /** Paths; read by the smtpd that ends the TLS, at start and when the files change. */
  certificate: string
  key: string
  minimumVersion: '1.2' | '1.3'
  /** Who signs the certificates of clients; null: they are not asked. */
  clientCa: string | null
  clientCertificate: 'optional' | 'required'
}

export type ListenerKind = 'mx' | 'submission' | 'local' | 'lmtp'

/** Mail comes from users, and is completed. */
export function isSubmission(kind: ListenerKind): boolean {
  return kind === 'submission' || kind === 'local'
}

export interface ListenerSlice {
  name: string
  /** mx: from strangers; submission: from users, with fix-ups; local: the unix socket, with fix-ups and a uid; lmtp: from a server in front of us (RFC 2033). */
  kind: ListenerKind
  /** Bound by mcp; the descriptor comes under the listener's name. */
  endpoint: { kind: 'tcp'; address: string; port: number } | { kind: 'unix'; path: string; mode: number }
  tls: {
    mode: 'none' | 'starttls' | 'required' | 'implicit'
    context: TlsContextSlice | null
    /** Used instead for the names that their certificates are for. */
    sni: TlsContextSlice[]
  }
  /** How users log in; null: not at all. */
  auth: { use: AuthSlice; required: boolean; withoutTls: boolean } | null
  /** What says who may use which sender. */
  senderLogin: TableSlice | null
  /** Clients that may send to zones that are not ours. */
  relay: ClientMatchList
  /** Clients that may connect at all. */
  allow: ClientMatchList
  /** Load balancers: they say first for whom they speak (PROXY). */
  proxy: AddressMatchList
  /** Who may speak for other clients by XCLIENT, name them for the log by XFORWARD, ask by VRFY, EXPN, ETRN. */
  xclient: AddressMatchList
  xforward: ClientMatchList
  vrfy: ClientMatchList
  expn: ClientMatchList
  etrn: ClientMatchList
  /** Whether names of clients are asked for; usual: where filters, or lists with names, want them. */
  clientNames: 'usual' | 'yes' | 'no'
  greetingDelay: number
  messageSizeLimit: number
  recipientLimit: number
  sessionLimit: number
  errorLimit: number
  /** Server side idle time, RFC 5321 section 4.5.3.2.7. */
  commandTimeout: number
  /** What each part of a session may take as a whole. */
  patience: PatienceSlice
  /** Who makes mistakes waits for replies. */
  tarpit: TarpitSlice
  /** Bare CR or LF in content: refuse with 550 5.6.11, or make it CRLF. */
  bareNewline: 'refuse' | 'normalise'
  bounds: BoundsSlice
  /** Who mail is from is found out (SPF, DKIM, DMARC). */
  authenticate: boolean
  /** Domains of servers whose ARC seals are believed. */
  trustedSealers: string[]
  /** Deliver while the client waits, at most so long; 0: queue first. */
  cutThrough: number
  /** How long a message may wait for its release (RFC 4865); 0: FUTURERELEASE is not offered. */
  holdLimit: number
  /** RCPTHDR: those whom RCPT names are taken away from those of the header, in place of added. */
  removesArguments: boolean
  /** Mail that leaves the machine goes to the agent of the user who sends it, if there is one. */
  userAgents: boolean
  /** Take only mail with a valid DKIM signature of its sender. */
  requireSignature: boolean
  /** Who may relay gets mail signed. */
  sign: boolean
  /** How strangers are looked at; null: not at all. */
  screening: ScreeningSlice | null
  /** In order; none: everybody is as welcome as the rest says. */
  access: AccessRuleSlice[]
  /** In the order in which they are asked. */
  filters: FilterSlice[]
}
