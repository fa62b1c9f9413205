/**
 * What each process is told of the configuration, and nothing else: the types of the slices that mcp sends in
 * `configure`. `shared/config/slice.ts` makes them from the checked config tree; the option table says which
 * option feeds which slice. All times are milliseconds, all sizes octets, all paths absolute.
 */
import type { GreylistSlice, ScreeningFacts } from './client-slices.ts'
import type { AddressMatchList, ListenerSlice } from './listener-slices.ts'
import type { MapSlice } from './map-slices.ts'
import type { OutgoingWay } from './options-outgoing.ts'
import type { PolicySlice } from './policy-slice.ts'
import type { ReportsSlice, TlsReportsSlice } from './reports.ts'
import type { RelaySlice } from './routing-slice.ts'
import type { RuleBook } from './rule-book.ts'
import type { DkimSlice, SigningSlice } from './signing-slice.ts'
import type { SrsSlice } from './srs.ts'
import type { ThrottleSlice } from './throttle-slice.ts'
import type { WebPlace, WebSlice } from './web-slice.ts'
import type { ZoneSlice } from './zone-slice.ts'

export type * from './client-slices.ts'
export type * from './listener-slices.ts'
export { isSubmission } from './listener-slices.ts'
export type { MapSlice, TableSlice } from './map-slices.ts'
export type { ReportsSlice } from './reports.ts'
export type * from './routing-slice.ts'
export type * from './signing-slice.ts'
export type { SrsSlice } from './srs.ts'
export type { Marks, ThrottleSlice } from './throttle-slice.ts'
export type { MailAccess, WebPlace, WebSlice } from './web-slice.ts'
export type { ZoneSlice } from './zone-slice.ts'

export interface SmtpdSlice {
  /** Content up to this many octets travels with its envelope and lives in the database; larger content is streamed into a file. */
  inlineLimit: number
  hostname: string
  listeners: ListenerSlice[]
  /** Completes unqualified addresses on submission and local listeners. */
  qualifyDomain: string
  policies: PolicySlice[]
  /** What is signed; null: nothing. */
  signing: SigningSlice | null
  /** With which keys; only the smtpd for users is told. */
  dkim: DkimSlice[]
  rules: RuleBook
  /** Separates user and detail (`+`), or '' for none. */
  recipientDelimiter: string
  /** What DMARC finds is counted, for reports. */
  reports: boolean
}

/** Where a zone, a server or a class of replies changes the retry schedule; null: it does not. */
export interface ScheduleSlice {
  retry: number[] | null
  lifetime: number | null
  bounceLifetime: number | null
  delayWarning: number | null
}

export interface ServerSlice {
  /** The `server` block's. */
  name: string
  /** Patterns for names and addresses of next hops, lower case; `*` stands for any text. */
  match: string[]
  maxConnections: number | null
  /** Deliveries in a period; null: no limit. */
  rate: { count: number; period: number } | null
  recipientsPerTransaction: number | null
  transactionsPerConnection: number | null
  connectionIdle: number | null
  schedule: ScheduleSlice
}

/** A kind of temporary replies. A criterion that is empty is met by all. */
export interface RetryClassSlice {
  name: string
  /** `450`, `45x`, `4.7.1`, `4.7.x`. */
  codes: string[]
  /** Lower case, found anywhere; `*` stands for any text. */
  text: string[]
  match: string[]
  zones: string[]
  schedule: ScheduleSlice
  /** How long nothing is sent to those who said so; null: it goes on. */
  suspend: number | null
  /** For the administrator, while something is suspended. */
  hint: string | null
}

/** So much in a time; `period` null: connections at one time. */
export interface Quota {
  measure: 'connections' | 'messages' | 'recipients' | 'octets' | 'refusals'
  count: number
  period: number | null
}

export interface Rate {
  count: number
  period: number
}

export interface LimitsSlice {
  client: Quota[]
  network: Quota[]
  uid: Quota[]
  user: Quota[]
  /** Failed logins in a time, milliseconds. */
  loginFailures: { client: Rate; account: Rate }
  /** Addresses without limits of client and network. */
  exempt: AddressMatchList
  exemptUids: number[]
  /** By a policy's name: in place of `uid`. */
  policies: Record<string, Quota[]>
  tableSize: number
}

/** How the queue manager keeps load within bounds. */
export interface LoadSlice {
  throttle: ThrottleSlice
  limits: LimitsSlice
  /** Shares of `sessionLimit`. */
  localReserve: number
  remoteReserve: number
  destinationBacklog: number
}

export interface QmgrSlice {
  hostname: string
  /** Holds `queue.db` and `content/`. */
  spool: string
  activeEntries: number
  activeOctets: number
  messageSizeLimit: number
  /** Waits before the second, third, … attempt; the last one repeats. */
  retry: number[]
  lifetime: number
  bounceLifetime: number
  delayWarning: number
  /** How long removed mail can be restored. */
  removedKeep: number
  /** RET=FULL is honoured up to this many octets. */
  returnLimit: number
  /** Connections to one destination: at first, and at most. */
  initialConcurrency: number
  maxConcurrency: number
  /** Recipients of one transaction. */
  recipientsPerTransaction: number
  /** Below this much free space new mail gets 452. */
  minFreeSpace: number
  sessionLimit: number
  load: LoadSlice
  ldaLimit: number
  /** Milliseconds that mail waits for a mailbox that is full or not there. */
  mailboxLifetime: number
  /**
   * Reports of our own are signed, by the smtpd that runs as this user (null: as we do); null: they are not.
   * relayed: what the smtpd for strangers relays for some of them is signed too.
   */
  signing: (SigningSlice & { uid: number | null; relayed: boolean }) | null
  /** Who is asked whether they have an agent: who hands mail in by these listeners, for these zones. */
  userAgents: { listeners: string[]; zones: string[]; minimumUid: number; onlyUid: number | null }
  /** The first that matches decides. */
  servers: ServerSlice[]
  retryClasses: RetryClassSlice[]
  /** By the zone's name; zones that change nothing are left out. */
  zoneSchedules: Record<string, ScheduleSlice>
  /** Who may use the queue control socket for more than looking at own messages, besides root and qmgr's own uid. */
  controlUids: number[]
  /** Their names by uid, root's and qmgr's own too, for the log: qmgr looks at no file but its own. */
  controlNames: Record<string, string>
  /** Who may join the bus as which role; null (no root): only our own uid, any role. */
  busUids: Record<string, number[]> | null
}

export interface SmtpcSlice {
  hostname: string
  /** By name; only those that say something. */
  ways: { usual: OutgoingWay; zones: Record<string, OutgoingWay>; servers: Record<string, OutgoingWay> }
  /** Files of logins, by `relay` section. */
  logins: Record<string, string>
  /** Null: nothing is counted for them. */
  tlsReports: TlsReportsSlice | null
  /** Content with octets beyond ASCII for a host without 8BITMIME. */
  eightBit: 'downgrade' | 'refuse'
  /** An idle connection is kept this long for the next transaction. */
  connectionIdle: number
  transactionsPerConnection: number
  /** RFC 5321 section 4.5.3.2, by phase. */
  timeouts: {
    connect: number
    greeting: number
    helo: number
    mail: number
    rcpt: number
    dataInitiation: number
    dataBlock: number
    dataTermination: number
    quit: number
  }
}

export interface ResolverSlice {
  hostname: string
  zones: ZoneSlice[]
  zonePlaces: Record<string, string>
  relays: RelaySlice[]
  maps: MapSlice[]
  screenings: ScreeningFacts[]
  /** Whose name mail bears that is sent on; null: its sender's. */
  srs: SrsSlice | null
  /** Null where no screening asks for it. */
  greylist: GreylistSlice | null
  /** Null: no reports are sent. */
  reports: ReportsSlice | null
  /** MTA-STS: where policies are kept, and whom to trust (null: whom Node trusts); null: it is not looked at. */
  sts: { directory: string; caFile: string | null } | null
  /** Addresses with ports (`127.0.0.1:53`, `[::1]:53 validating`); empty: from `/etc/resolv.conf`. */
  nameservers: string[]
  /** Whose word on DNSSEC is believed; `unbound`: that of the one that mcp runs, while it says that it is up. */
  dnssec: 'servers' | 'unbound' | 'no'
  validatorPort: number
  dnsTimeout: number
  dnsAttempts: number
  cacheEntries: number
  /** Of memory, about. */
  cacheOctets: number
  /** Port for MX destinations: 25, another one in tests. */
  smtpPort: number
  /** Where we take mail at that port: whoever sends it there meets us. */
  ownAddresses: string[]
  /** Separates user and detail (`+`), or '' for none. */
  recipientDelimiter: string
  /** May join the bus as which role; null: only our own uid. */
  busUids: Record<string, number[]> | null
  /** Own uid and gid for mailboxes when not root: only the caller's own mailbox can be delivered to. */
  unprivileged: { uid: number; gid: number } | null
}

export interface LdaSlice {
  /** Into mailboxes, or to the agent of its user; each can do nothing else. */
  purpose: 'mailbox' | 'agent'
  hostname: string
  /** What the addresses of users were completed with. */
  qualifyDomain: string
  idle: number
  /** Milliseconds that a command may take. */
  commandTimeout: number
  /** Native calls are needed: locks, and what looks after commands. */
  locks: boolean
}

export interface RestartPolicy {
  /** Restarts within `window` before a worker is given up. */
  budget: number
  window: number
  firstDelay: number
  longestDelay: number
}

export interface LogChannel {
  name: string
  target: { kind: 'stderr' } | { kind: 'file'; path: string; size: number | null; versions: number }
  severity: 'debug' | 'info' | 'warn' | 'error' | 'fatal'
}

/** The unbound that validates for the resolver. */
export interface ValidatorSlice {
  program: string
  /** Written by mcp. */
  configFile: string
  /** The one place that it may write to: keys of the root, as they change. */
  directory: string
  /** On 127.0.0.1. */
  port: number
  /** `ADDRESS:PORT`; empty: it asks the root servers and follows. */
  forward: string[]
  /** Null: the root's, which begins as `rootKey` and is kept up to date. */
  trustAnchor: string | null
  rootKey: string
}

export interface McpSlice {
  hostname: string
  directory: string
  /** Holds pid file, buses, control sockets. */
  runDirectory: string
  pidFile: string
  controlSocket: string
  queueSocket: string
  controlMode: number
  listeners: ListenerSlice[]
  /** Where web listens; none: there is no such process. */
  web: WebPlace[]
  smtpdProcesses: number
  submissionProcesses: number
  /** System users by role; used only when mcp is root. */
  users: {
    qmgr: string
    smtpd: string
    submission: string
    smtpc: string
    resolver: string
    /** Of unbound. */
    validator: string
  }
  group: string
  /** Null: none is run. */
  validator: ValidatorSlice | null
  minimumUid: number
  restart: RestartPolicy
  heartbeat: { interval: number; patience: number }
  drainTimeout: number
  channels: LogChannel[]
  severity: 'debug' | 'info' | 'warn' | 'error' | 'fatal'
}

/** Everything, as the checker hands it to mcp; mcp sends each worker its own part. */
export interface Slices {
  mcp: McpSlice
  qmgr: QmgrSlice
  /** The smtpd for strangers. */
  smtpd: SmtpdSlice
  /** The smtpd for users and local programs, which alone holds what they log in with. */
  submission: SmtpdSlice
  smtpc: SmtpcSlice
  resolver: ResolverSlice
  lda: LdaSlice
  /** An lda that speaks to the agent of its user. */
  agentLda: LdaSlice
  /** Null: there is no such process. */
  web: WebSlice | null
}
