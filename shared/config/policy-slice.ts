/** The policies of submission, as smtpd is told of them; see `slices.ts`. */

/** Who may hand in what, see `policy` in the manual; the first that fits a client decides. */
export interface PolicySlice {
  name: string
  /** `file:line:column`, for those who ask why. */
  place: string
  /** Names and uids; with no groups either it is for everybody. */
  users: (string | number)[]
  groups: string[]
  /** Patterns of reverse-paths and of addresses in From; null allows all. */
  senders: { patterns: string[]; place: string } | null
  from: { patterns: string[]; place: string } | null
  trusted: boolean
  deny: boolean
  messageSizeLimit: number | null
  recipientLimit: number | null
  /** `%u` is the login name. */
  account: string | null
}
