/** What smtpd is told of a filter. All times are milliseconds. */
export type FilterAddress = { kind: 'unix'; path: string } | { kind: 'tcp'; host: string; port: number }

/** When a policy server is asked: about each recipient, at DATA, at the end of the content. */
export type PolicyStage = 'rcpt' | 'data' | 'end-of-message'

export interface FilterSlice {
  name: string
  by:
    | { kind: 'milter' | 'rspamd'; address: FilterAddress }
    | { kind: 'policy'; address: FilterAddress; stages: readonly PolicyStage[] }
  /** What becomes of a message while the filter cannot be asked. */
  onFailure: 'accept' | 'tempfail' | 'reject'
  connectTimeout: number
  /** For each answer, and for the one to the end of the content. */
  timeout: number
  contentTimeout: number
}
