/**
 * Every message that crosses from one process to another, in one place.
 *
 * `busMessages` travel over unix stream sockets between workers (and commands): who may send it, who may
 * receive it, its fields, its answer if it is a request, and how long the sender waits for that answer.
 * `lifeMessages` travel over the private channel between mcp and each worker it forked.
 *
 * Both ends are typed from these tables and check every field at run time; a message in the wrong direction, of
 * unknown name or of wrong shape ends the connection of the peer that sent it, loudly.
 * Next: `peer.ts` (one connection), `link.ts` (dial and redial), `hub.ts` (accept).
 */
import {
  anything,
  boolean,
  bytes,
  type Infer,
  type InferFields,
  integer,
  list,
  measure,
  nullable,
  oneOf,
  optional,
  record,
  string,
  struct,
  union,
} from '../base/shape.ts'
import { connectionTermsShape } from '../message/connection-terms.ts'
import { deliverByShape, envelopeShape, tlsDemandShape } from '../message/envelope.ts'
import { fateShape, outcomeShape, replyShape } from '../message/outcome.ts'
import { routeShape } from '../message/route.ts'
import * as sender from './authentication.ts'
import { type EventMessage, event, type Fields, type RequestMessage, request } from './declare.ts'
import { lookUpAnswer, lookUpQuestion } from './looking-up.ts'
import { pastReplyShape, queueActShape, queueEntryShape, queueFilterShape } from './queue.ts'
import { dmarcCounts, reportsActAnswer, reportsActQuestion, tlsCounts } from './reporting.ts'
import { expandAnswer, expandQuestion, resolveAnswer, resolveQuestion } from './resolving.ts'
import * as asked from './screening.ts'
import { queueStatusShape, serverStatusShape } from './status.ts'

export type { Role } from './declare.ts'

const SECOND = 1000

export const busMessages = {
  /** First message on every connection, and the only one accepted before its answer. */
  hello: request(
    ['smtpd', 'smtpc', 'resolver', 'qmgr', 'lda', 'command'],
    ['qmgr', 'resolver', 'mcp'],
    { role: string, name: string, pid: integer, build: string, epoch: integer },
    /** serial: for the ids this worker makes, see `base/ids.ts`; 0 from anyone but qmgr. */
    union({ welcome: { epoch: integer, serial: integer }, refused: { reason: string } }),
    10 * SECOND,
  ),

  // --- intake: smtpd <-> qmgr
  /** Again when its client has logged in, with `user`; refused, the session is to end. */
  'session-open': request(
    ['smtpd'],
    ['qmgr'],
    {
      session: string,
      listener: string,
      client: string,
      uid: optional(integer),
      user: optional(string),
      policy: optional(string),
    },
    /** While a resource is short it takes as long as `throttle longest-wait` says. */
    union({ go: {}, refused: { reply: replyShape } }),
    300 * SECOND,
  ),
  /** refusals: recipients that got a 5xx. */
  'session-close': event(['smtpd'], ['qmgr'], { session: string, refusals: optional(integer) }),
  /** Before a login is checked. It counts as failed until `login-over`; braked: too many were, until then. */
  'login-try': request(
    ['smtpd'],
    ['qmgr'],
    { client: string, login: string },
    union({ go: {}, braked: { until: integer } }),
    10 * SECOND,
  ),
  /** It was right (`passed`), or could not be checked. */
  'login-over': event(['smtpd'], ['qmgr'], { client: string, login: string, passed: boolean }),
  /** How qmgr sees its resources; sent on welcome and at each change. smtpd acts on it without asking. */
  load: event(['qmgr'], ['smtpd'], {
    intake: oneOf('go', 'wait', 'refuse'),
    /** The resource that is short, for the reply and the log. */
    reason: string,
    /** It is room on the disk: 452 and not 451. */
    storage: optional(boolean),
  }),
  /** Destinations that take no more recipients, and those that do again; all that are full on welcome. */
  backlog: event(['qmgr'], ['smtpd'], { full: list(string), relieved: list(string) }),
  /** The whole message: everything smtpd knows of it, and its content unless that was streamed before. */
  submit: request(
    ['smtpd'],
    ['qmgr'],
    {
      envelope: envelopeShape,
      content: nullable(bytes),
      /** Takes the place of the first octets of streamed content; `envelope.size` is of what comes of it. */
      patch: optional(struct({ octets: integer, data: bytes })),
      /** Deliver while the client waits, at most so many milliseconds; absent: queue first. */
      cutThrough: optional(integer),
      /** Beside cutThrough: the client is told what became of each recipient, so nobody has to be sent a report. */
      verdict: optional(boolean),
    },
    /**
     * fates: what the first attempt made of each recipient, where that was asked for and there was one in time.
     * accepted: content and envelope are on stable storage, and the message is qmgr's.
     * brake: a limit of this client is reached until then (milliseconds since 1970), so MAIL is refused until then.
     */
    union({
      accepted: { brake: optional(integer), fates: optional(list(fateShape)) },
      refused: { reply: replyShape, brake: optional(integer), fates: optional(list(fateShape)) },
    }),
    300 * SECOND,
  ),
  'content-abort': event(['smtpd'], ['qmgr'], { stream: integer }),

  // --- content in pieces, in both directions; a sender starts with CONTENT_WINDOW octets of credit
  'content-chunk': event(['smtpd', 'qmgr'], ['qmgr', 'smtpc', 'lda'], {
    /** The transaction's id on the way in, the attempt's id on the way out. */
    stream: integer,
    data: bytes,
    /** Of the first chunk on the way in: room to keep in front, for a patch. */
    room: optional(integer),
    last: optional(boolean),
  }),
  'content-credit': event(['qmgr', 'smtpc', 'lda'], ['smtpd', 'qmgr'], { stream: integer, octets: integer }),

  // --- routing: smtpd, qmgr -> resolver
  resolve: request(['smtpd', 'qmgr'], ['resolver'], resolveQuestion, resolveAnswer, 60 * SECOND),
  /** The members of a list, a page at a time. */
  expand: request(['qmgr'], ['resolver'], expandQuestion, expandAnswer, 60 * SECOND),

  /** TXT records of a name, each with its strings put together; for the keys of signatures. */
  'look-up-text': request(['smtpd', 'command'], ['resolver'], { name: string }, asked.texts, 60 * SECOND),
  /** What maps say of keys; `services/resolver/maps/keys.ts` says which keys a use means. */
  'look-up': request(['smtpd', 'command'], ['resolver'], lookUpQuestion, lookUpAnswer, 60 * SECOND),
  /** SPF. */
  'sender-policy': request(['smtpd'], ['resolver'], sender.policyQuestion, sender.policyAnswer, 60 * SECOND),
  /** Of the smtpd for users, which alone has keys; by way of qmgr. */
  sign: request(['smtpd', 'qmgr'], ['qmgr', 'smtpd'], sender.signQuestion, sender.signAnswer, 30 * SECOND),
  /** What is known of a client; always answered, at the latest after its screening's `timeout`. */
  screen: request(['smtpd'], ['resolver'], asked.screenQuestion, asked.screenAnswer, 90 * SECOND),
  /** What a client is called; always answered, and soon. */
  'name-client': request(['smtpd'], ['resolver'], asked.nameQuestion, asked.nameAnswer, 30 * SECOND),
  /** Whether network, sender and recipient have been seen together; asked where all else speaks for them. */
  greylist: request(['smtpd'], ['resolver'], asked.greylistQuestion, asked.greylistAnswer, 30 * SECOND),
  'greylist-act': request(['command'], ['resolver'], asked.actQuestion, asked.actAnswer, 30 * SECOND),

  /** What DMARC has found, and what TLS, for the reports to the domains that want them. */
  'dmarc-counts': event(['smtpd'], ['resolver'], dmarcCounts),
  'tls-counts': event(['smtpc', 'qmgr'], ['qmgr', 'resolver'], tlsCounts),
  'reports-act': request(['command'], ['resolver'], reportsActQuestion, reportsActAnswer, 600 * SECOND),

  /** Who a local caller is, by the kernel's word: asked once for each session on the local socket. */
  caller: request(['smtpd'], ['resolver'], { uid: integer, gid: integer }, asked.callerAnswer, 10 * SECOND),

  // --- delivery: qmgr -> smtpc, lda
  deliver: request(
    ['qmgr'],
    ['smtpc', 'lda'],
    {
      attempt: integer,
      message: integer,
      sender: string,
      recipients: list(
        struct({
          n: integer,
          address: string,
          original: optional(string),
          notify: optional(string),
          orcpt: optional(string),
        }),
      ),
      size: integer,
      body: oneOf('7bit', '8bitmime', 'binarymime'),
      smtputf8: boolean,
      ret: optional(oneOf('full', 'hdrs')),
      envid: optional(string),
      deliverBy: optional(deliverByShape),
      priority: optional(integer),
      requireTls: optional(boolean),
      tlsDemand: optional(tlsDemandShape),
      route: routeShape,
      /** Absent: as usual. */
      terms: optional(connectionTermsShape),
      /** Null when it follows in content-chunk messages, as credit is given. */
      content: nullable(bytes),
    },
    struct({
      outcomes: list(struct({ n: integer, outcome: outcomeShape })),
      /** Route `agent` only, without outcomes: there is no agent, or none of its accounts is for this message. */
      declined: optional(oneOf('absent', 'not-mine')),
      /** Route `local`: not sent before these have it as well. keeps: a copy is in the mailbox. */
      forwards: optional(list(struct({ n: integer, to: list(string, 100), keeps: boolean }))),
      /** For the log: who answered, over what. */
      host: string,
      address: string,
      tls: string,
    }),
    0,
  ),
  /**
   * How far an attempt without a kept connection is: it looks for one; with `begun` its transaction starts on one.
   * Of an attempt that its worker takes to its grave between the two, nothing was sent.
   */
  'deliver-dial': event(['smtpc', 'lda'], ['qmgr'], { attempt: integer, begun: optional(boolean) }),
  /** qmgr no longer wants the attempt (drain, removal): stop if the final dot has not been sent. */
  'deliver-cancel': event(['qmgr'], ['smtpc', 'lda'], { attempt: integer }),

  // --- queue control: command -> qmgr; anybody sees their own mail, administrators see and do everything
  'queue-list': request(
    ['command'],
    ['qmgr'],
    /** `after` is the last answer's `next`. A page may be empty and have a next one. */
    { filter: queueFilterShape, after: nullable(string), limit: integer },
    struct({ entries: list(queueEntryShape), next: nullable(string) }),
    30 * SECOND,
  ),
  'queue-show': request(
    ['command'],
    ['qmgr'],
    { id: integer },
    union({
      /** entries: recipients that are not done; history: by recipient and time. */
      found: {
        envelope: envelopeShape,
        entries: list(queueEntryShape),
        history: list(pastReplyShape),
        header: bytes,
      },
      missing: {},
    }),
    30 * SECOND,
  ),
  'queue-act': request(
    ['command', 'smtpd'],
    ['qmgr'],
    {
      act: queueActShape,
      filter: queueFilterShape,
      /** Count and show whom it would mean, and change nothing. */
      dryRun: optional(boolean),
    },
    union({
      done: { recipients: integer },
      planned: { recipients: integer, sample: list(queueEntryShape) },
      /** The caller may not do that. */
      refused: { reason: string },
      /** Our trouble, after so many recipients were changed. */
      failed: { recipients: integer, reason: string },
    }),
    0,
  ),
  'queue-status': request(['command'], ['qmgr'], {}, queueStatusShape, 10 * SECOND),

  // --- life: command -> mcp
  status: request(['command'], ['mcp'], {}, serverStatusShape, 10 * SECOND),
  reload: request(
    ['command'],
    ['mcp'],
    {},
    /** problems: printed as `posthorn check` prints them; the old config runs on. */
    union({ done: { epoch: integer }, refused: { problems: string } }),
    60 * SECOND,
  ),
  stop: request(['command'], ['mcp'], {}, struct({}), 10 * SECOND),
} as const satisfies Record<string, EventMessage<Fields> | RequestMessage<Fields, unknown>>

/**
 * The field whose octets travel behind the message instead of in it when there are many (`frames.ts`): they are not
 * copied, so whoever sends them may not change them afterwards.
 */
export const tailOf: Readonly<Partial<Record<BusName, string>>> = {
  'content-chunk': 'data',
  deliver: 'content',
}

/** Octets a sender of content-chunk may have under way before the first content-credit. */
export const CONTENT_WINDOW = 1 << 20
/** The largest content-chunk. */
export const CONTENT_CHUNK = 1 << 16

/** An lda for mailboxes, or one that can do nothing but speak to the agent of its user. */
export const ldaWantedShape = union({
  mailbox: { uid: integer, gid: integer, user: string },
  agent: { uid: integer },
})
export type LdaWanted = Infer<typeof ldaWantedShape>

const workers = ['qmgr', 'smtpd', 'smtpc', 'resolver', 'lda', 'web'] as const

/** The channel between mcp and a worker; both directions are fire and forget. */
export const lifeMessages = {
  configure: event(['mcp'], workers, {
    role: string,
    name: string,
    build: string,
    epoch: integer,
    severity: oneOf('debug', 'info', 'warn', 'error', 'fatal'),
    /** The worker's part of the config, of the type that `config/slices.ts` has for its role. */
    slice: anything,
    /** Descriptors handed over, by what they are: a listener's name, `bus`, `queue`. */
    descriptors: record(integer),
    /** Where the buses listen. */
    buses: struct({ qmgr: string, resolver: string }),
    /** Whom to become before anything else is done; null when mcp is not root or runs everything as its caller. */
    become: nullable(struct({ user: string, uid: integer, gid: integer })),
  }),
  reconfigure: event(['mcp'], workers, {
    epoch: integer,
    severity: oneOf('debug', 'info', 'warn', 'error', 'fatal'),
    slice: anything,
  }),
  ping: event(['mcp'], workers, { n: integer }),
  drain: event(['mcp'], workers, {}),
  /** Carries the bus connection of a new lda as its handle. */
  'lda-started': event(['mcp'], ['qmgr'], { wanted: ldaWantedShape, name: string }),
  /** final: such an lda may not run at all; otherwise there is no room for it now. */
  'lda-refused': event(['mcp'], ['qmgr'], { wanted: ldaWantedShape, reason: string, final: boolean }),
  /** Whether the unbound that mcp runs for the resolver answers; again when the resolver is ready. */
  validator: event(['mcp'], ['resolver'], { up: boolean }),
  /** How late each running worker gets to its work, milliseconds, by name; with each heartbeat of qmgr. */
  'worker-lags': event(['mcp'], ['qmgr'], { lags: record(measure) }),

  ready: event(workers, ['mcp'], {}),
  pong: event(workers, ['mcp'], {
    n: integer,
    figures: record(measure),
  }),
  'lda-wanted': event(['qmgr'], ['mcp'], { wanted: ldaWantedShape }),
} as const satisfies Record<string, EventMessage<Fields>>

type Table = typeof busMessages
export type BusName = keyof Table
export type RequestName = { [N in BusName]: Table[N] extends { answer: unknown } ? N : never }[BusName]
export type EventName = Exclude<BusName, RequestName>
export type Payload<N extends BusName> = InferFields<Table[N]['fields']>
export type Answer<N extends RequestName> = Infer<Table[N]['answer']>

type LifeTable = typeof lifeMessages
export type LifeName = keyof LifeTable
export type LifePayload<N extends LifeName> = InferFields<LifeTable[N]['fields']>
export type Configure = LifePayload<'configure'>
