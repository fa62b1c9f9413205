/** What is signed with which DKIM key. All times are milliseconds, all paths absolute. */

/** RFC 6376 section 3.4. */
export type Canonicalization = 'relaxed' | 'simple'

/** One `dkim` section, for who holds the keys. */
export interface DkimSlice {
  name: string
  /** A-labels, lower case; authors below them are signed for too. */
  domains: string[]
  /** Authors, as patterns in lower case with `*`; null: all of these domains. */
  senders: string[] | null
  from: { kind: 'file'; selector: string; path: string } | { kind: 'directory'; path: string }
  /** What the key must be; null: either. */
  algorithm: 'rsa' | 'ed25519' | null
  header: Canonicalization
  body: Canonicalization
  /** How long a signature is good; null: for ever. */
  lifetime: number | null
  /** What becomes of mail while its key cannot be read. */
  onFailure: 'accept' | 'tempfail'
}

/** For who has no key and wants something signed. */
export interface SigningSlice {
  domains: string[]
  /** The hashes of a body that are needed. */
  bodies: Canonicalization[]
}
