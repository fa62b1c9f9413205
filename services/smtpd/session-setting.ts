/**
 * What holds for a whole session, as `setting.ts` works it out: limits, rights and what may be asked for. A part of
 * `state.ts`.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import type { BoundsSlice } from '../../shared/config/bounds.ts'
import type { TarpitSlice } from '../../shared/config/patience.ts'
import type { RuleBook } from '../../shared/config/rule-book.ts'
import type { ListenerKind, ScreeningSlice } from '../../shared/config/slices.ts'
import type { Canonicalization } from '../../shared/dkim/body-hash.ts'
import type { AccessRule } from './access.ts'
import type { Barred } from './admission.ts'
import type { Judge, Rights } from './rights.ts'
import type { Moment } from './state.ts'
import type { Author } from './submission.ts'

/** What holds for a whole session. */
export interface Setting {
  hostname: string
  listener: string
  kind: ListenerKind
  /** The session's printed id. */
  session: string
  /** Client address, '' for the local socket. */
  client: string
  /** Kernel-proven uid of a local caller. */
  uid: number | undefined
  /** The person behind a local caller; null where nobody has proved who he is. */
  author: Author | null
  rights: Rights
  judge: Judge
  /** May send to zones that are not ours. */
  mayRelay: boolean
  /** Who has logged in, and by which mechanism. */
  user?: string
  mechanism?: string
  /** How users log in; null: not at all. */
  auth: AuthSetting | null
  /** STARTTLS: not there, there, demanded before MAIL, or demanded while there is no certificate. */
  starttls: 'none' | 'offered' | 'required' | 'broken'
  greetingDelay: number
  messageSizeLimit: number
  recipientLimit: number
  errorLimit: number
  /** Who makes mistakes waits for replies: from which error on, how long at first; 0: not at all. */
  tarpit: Pick<TarpitSlice, 'after' | 'delay'>
  bounds: BoundsSlice
  /** Who mail is from is found out. */
  authenticate: boolean
  /** Whose word counts when DMARC fails (ARC). */
  trustedSealers: readonly string[]
  /** Completes unqualified senders and recipients; '' where they are refused. */
  qualifyDomain: string
  /** Milliseconds to deliver in while a client waits; 0: queue first. */
  cutThrough: number
  /** Milliseconds that a message may wait for its release (RFC 4865); 0: not offered. */
  holdLimit: number
  /** For XWHY: what the config says of listeners and policies. */
  rules: RuleBook
  /** RCPTHDR: those whom RCPT names do not get the message. */
  removesArguments: boolean
  /** Mail is taken only with a valid signature of its sender. */
  requireSignature: boolean
  grants: Grants
  /** XCLIENT: what holds for the client that is spoken for; null for who may not speak for others. */
  assume: ((client: Assumed) => { setting: Setting; allowed: boolean }) | null
  /** What is known of the client's name, by DNS or by XCLIENT; null: nobody has asked. */
  named: Named | null
  /** What holds once its name is known; null: it matters to nobody. */
  naming: ((named: Named) => { setting: Setting; barred: Barred | null }) | null
  /** What XCLIENT said of the name it greeted with. */
  clientHelo?: string
  /** How this client is looked at; null: not at all. */
  screening: Screening | null
  /** The access rules that concern this client. */
  access: readonly AccessRule[]
  /** Something about this session stands in maps. */
  mapped?: boolean
  /** Who may relay has mail signed (DKIM), by these hashes of its body; none: nobody has. */
  signs: readonly Canonicalization[]
  /** Filters are asked about recipients and content. */
  filtered: boolean
}

export type Named = Answer<'name-client'>

export type Screening = Omit<ScreeningSlice, 'exempt'>

/** What was found out about a client, and what comes of it. */
export interface Standing {
  /** What EHLO had said by then; null: it was not looked at. */
  helo: string | null
  score: number
  signs: Answer<'screen'>['signs']
  verdict: 'go' | 'defer' | 'reject'
  /** Its mail is marked. */
  tag: boolean
  /** Mail that was never seen before has to come again. */
  greylist: boolean
}

/** What this client may ask for, by the options of the same names. */
export interface Grants {
  vrfy: boolean
  expn: boolean
  etrn: boolean
  xforward: boolean
}

/** A client that another speaks for. Absent: not said. */
export interface Assumed {
  client?: string
  name?: string
  helo?: string
}

/** Attributes of XCLIENT or XFORWARD, for the log. */
export type Told = Readonly<Record<string, string>>

export interface AuthSetting {
  /** No mail before it. */
  required: boolean
  withoutTls: boolean
  /** What can be offered now, best first; those that need something of TLS among them. */
  mechanisms: () => readonly string[]
  /** Another server speaks it. */
  relays: (mechanism: string) => boolean
  /** @param look what a map says; later: it cannot say. */
  maySend: (user: string, sender: string, look: Moment['lookUp']) => boolean | 'later'
  /** The setting of a session whose client has logged in. */
  asUser: (setting: Setting, user: string) => Setting
}
