/** What smtpd is told of how users log in. Paths are absolute. */
/** How tokens are judged. */
export type OAuthSlice =
  | { kind: 'jwks'; url: string; issuer: string; audience: string; scope: string | null; login: string }
  | {
      kind: 'introspection'
      url: string
      client: string | null
      /** A file. */
      secret: string | null
      issuer: string | null
      audience: string | null
      scope: string | null
      login: string
    }

export interface AuthSlice {
  name: string
  /** Who judges passwords: a file, or a socket. */
  passwords: { kind: 'file' | 'dovecot' | 'saslauthd'; path: string } | null
  certificates: boolean
  oauth: OAuthSlice | null
  /** Empty: all that there are. */
  mechanisms: string[]
}
