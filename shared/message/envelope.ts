/**
 * The envelope of a message as qmgr owns it (RFC 5321 section 2.3.1): reverse-path, recipients, and the facts
 * of the transaction that must outlive it. Addresses are bare (`user@example.org`, no angle brackets), the
 * domain lower-cased in A-label form, the local part as received; the null reverse-path is ''.
 */
import { boolean, type Infer, integer, list, oneOf, optional, string, struct } from '../base/shape.ts'
import { routeShape } from './route.ts'

export const recipientShape = struct({
  address: string,
  /** What RCPT said, when an alias or a rewrite made `address` of it. */
  original: optional(string),
  /** It stands for a list whose members are not known yet. */
  list: optional(boolean),
  /** Of a command or a file: the address whose alias names it. */
  via: optional(string),
  /** A user here has their mail sent on to it. */
  forwarded: optional(boolean),
  /** RFC 3461 section 4.1, in the normal form of `notify.ts`: `SUCCESS,FAILURE`, `NEVER`; absent: the default. */
  notify: optional(string),
  /** RFC 3461 section 4.2, as received (`rfc822;…`, xtext). */
  orcpt: optional(string),
  route: optional(routeShape),
})
export type Recipient = Infer<typeof recipientShape>

/** An address that stood for several recipients, and whose sender wants to know that (RFC 3461 section 5.2.7). */
export const expandedShape = struct({ address: string, orcpt: optional(string) })
export type Expanded = Infer<typeof expandedShape>

export const originShape = struct({
  /** The listener's name in the config; 'dsn' for our own reports. */
  listener: string,
  session: string,
  /** Client address, or '' for the local socket. */
  client: string,
  helo: optional(string),
  /** Kernel-proven uid of a local caller. */
  uid: optional(integer),
  /** Whom it is counted with: the authenticated user, or the account that a policy names. */
  user: optional(string),
  /** The policy that decided about the client. */
  policy: optional(string),
})
export type Origin = Infer<typeof originShape>

/** DELIVERBY of MAIL (RFC 2852): when it should be delivered, and what happens when it is not. */
export const deliverByShape = struct({
  /** Milliseconds since 1970. */
  at: integer,
  /** Too late: it comes back, or the sender is told and it goes on. */
  mode: oneOf('return', 'notify'),
  /** The sender wants to hear of each host that passes it on. */
  trace: boolean,
})
export type DeliverBy = Infer<typeof deliverByShape>

/**
 * What the sender says of TLS on the way out (XTLS of MAIL, ours, `shared/README.md`): no STARTTLS; never in clear,
 * whoever the host is; never but to a host that proves its name.
 */
export const tlsDemandShape = oneOf('none', 'encrypted', 'verified')
export type TlsDemand = Infer<typeof tlsDemandShape>

export const envelopeShape = struct({
  /** The transaction's id, and from now on the message's; printed by `formatId('T', id)`. */
  id: integer,
  sender: string,
  recipients: list(recipientShape),
  /** Reported when the message is accepted; the recipients have no SUCCESS in their `notify` any more. */
  expanded: optional(list(expandedShape)),
  /** Octets of the content as stored. */
  size: integer,
  /** BODY of MAIL (RFC 6152, RFC 3030). */
  body: oneOf('7bit', '8bitmime', 'binarymime'),
  /** SMTPUTF8 of MAIL (RFC 6531). */
  smtputf8: boolean,
  /** RET and ENVID of MAIL (RFC 3461), the latter as received (xtext). */
  ret: optional(oneOf('full', 'hdrs')),
  envid: optional(string),
  /** HOLDFOR or HOLDUNTIL of MAIL (RFC 4865): no attempt before then, milliseconds since 1970. */
  holdUntil: optional(integer),
  /** It waits, whole, until an administrator releases it. */
  onHold: optional(boolean),
  /** Why, where a filter wants that. */
  holdReason: optional(string),
  deliverBy: optional(deliverByShape),
  /** MT-PRIORITY of MAIL (RFC 6710), -9 to 9; absent: 0. */
  priority: optional(integer),
  /** REQUIRETLS of MAIL (RFC 8689): never over a connection that is not verified TLS. */
  requireTls: optional(boolean),
  tlsDemand: optional(tlsDemandShape),
  /** Milliseconds since 1970, when the transaction began. */
  receivedAt: integer,
  origin: originShape,
})
export type Envelope = Infer<typeof envelopeShape>
