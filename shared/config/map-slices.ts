/**
 * Maps as the resolver is told of them, and the tables that may be one; a part of `slices.ts`, which says what the
 * units are. Paths are absolute.
 */

/** A TCP port, or a unix socket. */
export type MapServer = { kind: 'tcp'; host: string; port: number } | { kind: 'unix'; path: string }

/** Whom we log in as there; the password is the first line of the file. */
export interface MapLogin {
  user: string | null
  passwordFile: string | null
}

/** TLS, verified; null: what Node trusts. */
export interface MapTls {
  caFile: string | null
}

export type TextMapKind = 'hash' | 'cidr' | 'regexp'

export type MapSourceSlice =
  | { kind: TextMapKind | 'cdb'; file: string }
  | { kind: 'sqlite'; file: string; query: string }
  | { kind: 'socketmap'; server: MapServer; name: string }
  | { kind: 'dovecot'; server: MapServer }
  | { kind: 'http'; url: string; login: MapLogin; tls: MapTls }
  | { kind: 'dns'; suffix: string; record: 'a' | 'txt' }
  | {
      kind: 'postgresql'
      server: MapServer
      database: string
      login: MapLogin
      tls: MapTls | null
      query: string
    }
  | {
      kind: 'ldap'
      url: string
      base: string
      scope: 'base' | 'one' | 'sub'
      filter: string
      attribute: string
      login: MapLogin
      /** By STARTTLS, or from the first octet where the URL says ldaps. */
      tls: MapTls | null
    }

export interface MapSlice {
  name: string
  /** `file:line:column` */
  place: string
  source: MapSourceSlice
  /** For one question. */
  timeout: number
  /** Questions at one time. */
  connections: number
  /** How long an answer is remembered, where the map is not a file that is watched. */
  cache: number
}

/** Where a table is: a file of its own format, or a map. */
export type TableSlice = { kind: 'file'; path: string } | { kind: 'map'; name: string }
