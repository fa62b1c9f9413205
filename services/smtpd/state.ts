/**
 * The states of an SMTP session (RFC 5321 section 4.1.4), what can happen in one, and what the shell is to do.
 *
 * Each phase owns its data: there is no transaction before MAIL and no sender after its end. `session.ts`
 * decides, `connection.ts` feeds events in and carries effects out.
 */
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { DeliverBy, Envelope, Expanded, Recipient, TlsDemand } from '../../shared/message/envelope.ts'
import type { Line } from '../../shared/smtp/line-reader.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import type { AccessRule, Ruling } from './access.ts'
import type { Doom, Framing } from './content-plan.ts'
import type { Revision } from './filter/draft.ts'
import type { HeaderFault } from './header-bounds.ts'
import type { Body, RcptParameters } from './parameters.ts'
import type { Limit } from './patience.ts'
import type { Challenge, Check, Claim, Failure, Verdict as SaslVerdict } from './sasl-step.ts'
import type { Setting, Standing, Told } from './session-setting.ts'
import type { Named } from './submission.ts'
import type { TlsFacts } from './tls-facts.ts'

export type * from './session-setting.ts'

/** What qmgr says of new mail; 'down' while there is no qmgr. */
export interface Intake {
  state: 'go' | 'wait' | 'refuse' | 'down'
  /** The resource that is short. */
  reason: string
  /** It is room on the disk. */
  storage: boolean
}

export type MapQuestion = Payload<'look-up'>['questions'][number]
export type MapAnswer = Answer<'look-up'>['answers'][number]

/** What the outside contributes to a decision. */
export interface Moment {
  time: number
  intake: Intake
  /** No more recipients are queued for this next hop now. */
  isFull: (destination: string) => boolean
  /** What the resolver said of this address a moment ago; null: it must be asked. */
  knownAnswer: (question: Payload<'resolve'>) => Answer<'resolve'> | null
  /** What a map says; null: it must be asked (`lookup.ts`). */
  lookUp: (question: MapQuestion) => MapAnswer | null
  /** The next transaction id; null while there is no qmgr. */
  takeId: () => number | null
  /** Octets that nobody can guess. */
  random: (octets: number) => Buffer
}

export interface Hello {
  name: string
  /** EHLO, not HELO. */
  extended: boolean
}

export interface AskedRecipient {
  address: string
  parameters: RcptParameters
  /** What the access rules say; absent: nothing. */
  ruling?: Ruling
}

export type Forged = 'tag' | 'quarantine' | 'reject'

/** What becomes of a RCPT. */
export interface Fate {
  reply: SmtpReply
  recipients: readonly Recipient[]
  expanded: readonly Expanded[]
  /** How long this zone lets a client wait for its delivery, milliseconds; 0: not at all. */
  cutThrough: number
  /** This zone wants a valid signature of the sender. */
  signed: boolean
  /** What becomes of mail that fails DMARC. */
  forged: Forged
  /** Marks for the message. */
  tags?: readonly string[]
  /** The message waits until it is released. */
  hold?: boolean
}

/** A RCPT whose reply is still owed: replies leave in the order of the commands (RFC 2920 section 3.2). */
export interface Owed extends AskedRecipient {
  n: number
  fate: Fate | null
  /** Whether it has come before: asked, or over. */
  greylist?: 'asked' | 'over'
  /** What filters say of it: asked, or over. */
  filter?: 'asked' | 'over'
}

export interface Transaction {
  id: number
  startedAt: number
  sender: string
  size: number
  body: Body
  smtputf8: boolean
  ret?: 'full' | 'hdrs'
  envid?: string
  holdUntil?: number
  deliverBy?: DeliverBy
  priority?: number
  requireTls?: boolean
  tlsDemand?: TlsDemand
  /** RCPTHDR: the header names recipients, and the sender where that is null. */
  asksHeader: boolean
  /** XASIS, from one who may: the header stays as it is. */
  asIs: boolean
  /** XNAME: the author's name, where the caller gives one. */
  authorName?: string
  /** RCPTHDR where RCPT takes away: who does not get the message, however he is named; null: RCPT adds. */
  without: readonly string[] | null
  /** RCPT commands so far. */
  asked: number
  /** RCPT commands that were accepted. */
  agreed: number
  /** The first accepted one, as the client said it. */
  first: string
  owed: readonly Owed[]
  recipients: readonly Recipient[]
  /** What XFORWARD said of it. */
  forwarded: Told | null
  /** In LMTP, for each RCPT that was accepted, the addresses it stands for; null elsewhere. */
  stands: readonly (readonly string[])[] | null
  /** Marks that access rules have set. */
  tags: readonly string[]
  /** An access rule keeps it in the queue until it is released. */
  hold: boolean
  /** Addresses that stood for several and whose sender is to hear of it. */
  expanded: readonly Expanded[]
  /** Milliseconds to deliver in while the client waits: the shortest of listener and zones; 0: queue first. */
  cutThrough: number
  /** The client asked for the fate of each recipient. */
  verdict: boolean
  /** It is taken only with a valid signature of its sender: listener or zone say so. */
  signed: boolean
  /** What becomes of it if it fails DMARC: the strictest of the zones decides. */
  forged: Forged
  /** Why a filter wants it held. */
  holdReason?: string
}

/** What became of a recipient that the header names. */
export interface NamedFate {
  address: string
  reply: SmtpReply
}

export interface Addressing {
  /** Octets of the content. */
  size: number
  named: readonly string[]
  /** How many of them have been asked for. */
  asked: number
  fates: readonly NamedFate[]
}

export type Phase =
  | { at: 'connect' }
  /** Before the greeting; what is true is still awaited. */
  | { at: 'delay'; timer: boolean; screen: boolean }
  | { at: 'start' }
  | { at: 'ready'; hello: Hello }
  | { at: 'mail'; hello: Hello; transaction: Transaction }
  /** DATA was said; filters are asked whether it may. */
  | { at: 'admit'; hello: Hello; transaction: Transaction }
  | { at: 'data'; hello: Hello; transaction: Transaction }
  /** Between chunks (RFC 3030). `refused`: a chunk was, so the others will be, up to the last or RSET. */
  | { at: 'chunks'; hello: Hello; transaction: Transaction; refused: SmtpReply | null }
  /** A chunk is on its way. */
  | { at: 'chunk'; hello: Hello; transaction: Transaction }
  /** The recipients that the header names are being looked up. */
  | ({ at: 'address'; hello: Hello; transaction: Transaction } & Addressing)
  /** The content is there; its signatures are looked into, and filters look at it. */
  | { at: 'check'; hello: Hello; transaction: Transaction; size: number; fates: readonly NamedFate[] }
  | { at: 'commit'; hello: Hello; transaction: Transaction; fates: readonly NamedFate[] }
  /** XWHY: a recipient is being looked up. */
  /** `rules`: the access rules that hold for the recipient, the last one deciding. */
  | { at: 'why'; hello: Hello; address: string; rules: readonly AccessRule[] }
  /** AUTH: the client has been asked something. */
  | { at: 'auth'; hello: Hello; mechanism: string; challenge: Challenge }
  /** AUTH: what the client claims is being looked into. */
  | { at: 'verifying'; hello: Hello; mechanism: string; check: Check }
  /** VRFY, EXPN, ETRN: the answer is awaited, and then it goes on as before. */
  | { at: 'inquiry'; back: Idle; asked: Inquiry }
  /** Maps are asked; then what has waited goes on where it was. */
  | { at: 'lookup'; back: Asking; waiting: readonly Event[] }
  | { at: 'securing' }
  | { at: 'closed' }
export type PhaseName = Phase['at']

/** Whatever may be interrupted by a question to a map. */
export type Asking = Exclude<Phase, { at: 'lookup' }>

/** Phases in which a command may ask for something besides mail. */
export type Idle = Extract<Phase, { at: 'start' | 'ready' | 'mail' | 'chunks' }>

/** `address`: what is asked about; of ETRN the domain. */
export interface Inquiry {
  verb: 'VRFY' | 'EXPN' | 'ETRN'
  address: string
}

export interface State {
  phase: Phase
  secure: boolean
  /** What TLS has settled; null without it. */
  tls: TlsFacts | null
  /** Who has logged in, and what holds from then on. */
  login: { user: string; setting: Setting } | null
  /** Null: nothing is known of the client; asked: it is being found out. */
  standing: Standing | 'asked' | null
  /** What XFORWARD said, for the next transaction. */
  forwarded: Told | null
  /** Commands answered with 5xx. */
  errors: number
  /** MAIL commands that were taken. */
  transactions: number
  /** A limit of this client is reached until then. */
  brakedUntil: number
  /** It ends when no transaction is in hand, with this reply. */
  leaving: SmtpReply | null
}

/** What became of the content, once its end was seen. */
export type Verdict =
  | { kind: 'whole'; size: number; named?: Named }
  | { kind: HeaderFault | 'nul-in-body' | 'author-refused' | 'too-large' | 'queue-lost' }

/** What filters have made of a message. */
export interface Change {
  /** Octets of the content. */
  size: number
  revision: Revision
}

export type Event =
  | { kind: 'opened'; answer: Answer<'session-open'> }
  /** No qmgr to ask. */
  | { kind: 'unavailable' }
  | { kind: 'delay-over' }
  /** Octets arrived before the greeting. */
  | { kind: 'early' }
  | Line
  /** null: the resolver could not be asked. */
  | { kind: 'resolved'; n: number; answer: Answer<'resolve'> | null }
  /** What is known of the client; null: the resolver could not be asked. */
  | { kind: 'screened'; answer: Answer<'screen'> | null }
  /** Whether a recipient's mail has come before; null: the resolver could not be asked. */
  | { kind: 'greylisted'; n: number; answer: Answer<'greylist'> | null }
  | { kind: 'secured'; tls: TlsFacts }
  /** How many recipients ETRN has hurried; null: nobody could be asked, or it failed. */
  | { kind: 'turned'; recipients: number | null }
  | { kind: 'verified'; verdict: SaslVerdict }
  | { kind: 'content'; verdict: Verdict }
  /** What filters say of a recipient; null: nothing against it. */
  | { kind: 'consulted'; n: number; refusal: SmtpReply | null }
  /** What filters say to DATA; null: nothing against it. */
  | { kind: 'admitted'; refusal: SmtpReply | null }
  /** The content was looked into; refusal null: it may be sent. `change`: what filters have made of it. */
  /** grown: by octets that were put on top. */
  | { kind: 'checked'; refusal: SmtpReply | null; hold: boolean; change?: Change; grown?: number }
  /** A chunk that is not the last is there. `doom`: why the content will be refused. */
  | { kind: 'chunk'; octets: number; doom: Doom | null }
  /** null: qmgr went away; the message may or may not have been kept. */
  | { kind: 'settled'; answer: Answer<'submit'> | null }
  /** Maps have answered, or cannot. */
  | { kind: 'looked-up' }
  | { kind: 'timeout'; limit: Exclude<Limit, 'handshake'> }
  /** The session is to end when no transaction is in hand; `reply` where it is not for this process's sake. */
  | { kind: 'drain'; reply?: SmtpReply }
  | { kind: 'gone' }

export type Effect =
  | { kind: 'reply'; reply: SmtpReply }
  /** VRFY and EXPN ask the resolver as RCPT does; ETRN has qmgr try what waits for a domain. */
  | { kind: 'look-up'; questions: MapQuestion[] }
  | { kind: 'turn'; domain: string; below: boolean }
  /** The session is another client's from now on; `told` for the log. */
  | { kind: 'assume'; setting: Setting; allowed: boolean; told: Told }
  | { kind: 'delay' }
  /** What is said now waits so many milliseconds: the client makes too many mistakes. */
  | { kind: 'tarpit'; milliseconds: number }
  /** mayRelay: an access rule names the address, so that nobody's rights are asked for. */
  | { kind: 'resolve'; n: number; address: string; mayRelay?: boolean; explain?: true }
  /** An access rule has something to say of a recipient, for the log. */
  | { kind: 'ruled'; address: string; sender: string; ruling: Ruling }
  | { kind: 'greylist'; n: number; sender: string; recipient: string }
  | { kind: 'screen'; screening: string; helo: string | null }
  /** The client has a standing, for the log. */
  | { kind: 'judged'; standing: Standing }
  /** Ask the filters about a recipient that would be accepted; `consulted` follows. */
  | { kind: 'consult'; n: number; address: string; hello: Hello; transaction: Transaction }
  /** Ask the filters whether content may come; `admitted` follows. */
  | { kind: 'admit'; hello: Hello; transaction: Transaction }
  | { kind: 'secure' }
  /** Find out whether it is true; `verified` follows. */
  | { kind: 'verify'; claim: Claim }
  | { kind: 'logged-in'; mechanism: string; login: string }
  | { kind: 'not-logged-in'; mechanism: string; login: string; why: Failure }
  /** Content begins; after DATA (`dots`) it is all that the client sends from now on. */
  | { kind: 'receive'; transaction: Transaction; hello: Hello; framing: Framing }
  /** So many octets of it come now. */
  | { kind: 'expect'; octets: number; last: boolean }
  /** So many octets come that nobody wants. */
  | { kind: 'skip'; octets: number }
  /** What has come of the content is not wanted any more. */
  | { kind: 'drop' }
  /** Look into the signatures of what has come. */
  | { kind: 'check'; transaction: Transaction }
  /** `front`: fields to put on top of what has come, '' for none. */
  | { kind: 'submit'; envelope: Envelope; front: string; cutThrough: number; verdict: boolean }
  /** A transaction is over, for the log. */
  | { kind: 'ended'; transaction: Transaction; reply: SmtpReply; discarded?: boolean }
  /** A recipient was turned away, for the log. */
  | { kind: 'turned-away'; address: string; sender: string; reply: SmtpReply }
  /** The content is wanted still, after its end. */
  | { kind: 'hold' }
  | { kind: 'close' }

export interface Step {
  state: State
  effects: readonly Effect[]
}
