/**
 * A route: where the resolver says a recipient's copy goes next. It is decided at RCPT time, travels with the
 * envelope for the first attempt, and is asked for again before every later one, so that a mended config or
 * DNS record heals queued mail.
 *
 * `destination` names what shares connections, and lives and dies together: the sorted MX hosts of a remote domain,
 * the host list of a relay zone, `local:<uid>` for mailboxes, `agent:<uid>` for the sender's own agent, which qmgr puts
 * in the place of a way out of the machine. `provider` names who runs the mail exchangers that are
 * tried first; all destinations of one provider share limits in qmgr.
 */
import { boolean, type Infer, integer, list, oneOf, optional, string, struct, union } from '../base/shape.ts'

/** One next hop: a name for logs and TLS, addresses to connect to in order (IP literals, no brackets). */
export const hostShape = struct({
  name: string,
  addresses: list(string, 64),
  port: integer,
  /** MX preference, RFC 5321 section 5.1: lower is tried first, equal ones in random order. */
  preference: integer,
})
export type Host = Infer<typeof hostShape>

/** For whom lda encrypts before it stores. */
export const encryptionShape = struct({
  kind: oneOf('age', 'openpgp'),
  /** age: recipients; openpgp: fingerprints, addresses; both: files, `/PATH` or `~/PATH` below the home. */
  keys: list(string, 20),
  /** From, To, Date and Message-ID stay readable. */
  showHeader: boolean,
})
export type Encryption = Infer<typeof encryptionShape>

export const mailboxShape = struct({
  /** The system user that owns the mailbox; lda runs as this uid and gid and as nothing else. */
  user: string,
  uid: integer,
  gid: integer,
  home: string,
  format: oneOf('maildir'),
  /** Absolute path of the Maildir. */
  path: string,
  encryption: optional(encryptionShape),
})
export type Mailbox = Infer<typeof mailboxShape>

export const routeShape = union({
  smtp: {
    zone: string,
    destination: string,
    protocol: oneOf('smtp', 'lmtp'),
    hosts: list(hostShape, 200),
    /** Absent where that is the destination itself. */
    provider: optional(string),
  },
  local: { zone: string, destination: string, mailbox: mailboxShape },
  /** To the agent of the user who handed the message in; the zone is that of the way it takes the place of. */
  agent: { zone: string, destination: string, uid: integer },
})
export type Route = Infer<typeof routeShape>

/** One final recipient that an address stands for: itself, or what an alias made of it. */
export const targetShape = struct({
  address: string,
  /** Absent when DNS could not answer in time: accepted now, routed before the first attempt. */
  route: optional(routeShape),
})
export type Target = Infer<typeof targetShape>
