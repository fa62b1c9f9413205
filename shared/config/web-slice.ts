/**
 * What web is told: where it listens, and all that its pages are made of. `slices.ts` says what the units are.
 */
import type { ListenerSlice, TlsContextSlice } from './listener-slices.ts'

/** A socket that mcp binds, and the name of its descriptor. */
export interface WebPlace {
  name: string
  endpoint: ListenerSlice['endpoint']
  secure: boolean
}

/** Where a mail program reads or hands in mail. */
export interface MailAccess {
  host: string
  port: number
  mode: 'implicit' | 'starttls'
}

/** RFC 8461 section 3.2. */
export interface StsPolicySlice {
  mode: 'enforce' | 'testing' | 'none'
  mx: string[]
  /** Seconds. */
  maxAge: number
}

export interface WebSlice {
  places: WebPlace[]
  /** Each for the names that its certificate is for; empty: plain HTTP. */
  tls: TlsContextSlice[]
  /** Lower case, A-labels. */
  domains: string[]
  policy: StsPolicySlice | null
  /** Null: mail programs are told nothing. */
  programs: {
    imap: MailAccess | null
    pop3: MailAccess | null
    submission: MailAccess
    login: 'address' | 'local-part'
  } | null
}
