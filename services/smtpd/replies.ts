/**
 * Every reply that smtpd says of its own accord, by name. Others come from qmgr (refused sessions, refused
 * messages; its `replies.ts`) and resolver (refused recipients; its `replies.ts`) and pass through unchanged.
 *
 * RFC 5321 section 4.2.3 for the codes, RFC 3463 for the enhanced ones; a test checks that they are unique.
 */
import type { ListenerKind } from '../../shared/config/slices.ts'
import { defineReply, type SmtpReply } from '../../shared/smtp/reply.ts'

export const replies = {
  closing: defineReply(221, '2.0.0', 'Bye'),
  readyForTls: defineReply(220, '2.0.0', 'Go ahead with TLS'),
  // RFC 4954 section 4
  authenticated: defineReply(235, '2.7.0', 'Authentication succeeded'),
  ok: defineReply(250, '2.0.0', 'Ok'),
  senderOk: defineReply(250, '2.1.0', 'Sender ok'),
  recipientOk: defineReply(250, '2.1.5', 'Recipient ok'),
  // RFC 2033 section 4.2
  delivered: defineReply(250, '2.1.5', 'delivered'),
  recipientTakenAway: defineReply(250, '2.1.5', 'Will not get it'),
  // RFC 5321 section 3.5.3: we neither confirm nor deny
  cannotVerify: defineReply(252, '2.5.0', 'Send some mail, and we shall see'),
  // RFC 1985 section 5.2
  turnBegun: defineReply(250, '2.0.0', 'Mail for that domain is being tried'),
  nothingWaits: defineReply(251, '2.0.0', 'No mail waits for that domain'),
  sendContent: defineReply(354, '', 'End with <CRLF>.<CRLF>'),

  shuttingDown: defineReply(421, '4.3.2', 'Shutting down, try again in a moment'),
  notWorking: defineReply(421, '4.3.2', 'The queue cannot be reached, try again later'),
  tooManySessions: defineReply(421, '4.7.0', 'Too many sessions, try again later'),
  idleTooLong: defineReply(421, '4.4.2', 'Waited too long for you'),
  helloTooLate: defineReply(421, '4.4.2', 'Waited too long for EHLO'),
  loginTooLong: defineReply(421, '4.4.2', 'Logging in took too long'),
  envelopeTooLong: defineReply(421, '4.4.2', 'Sender and recipients took too long'),
  contentTooSlow: defineReply(421, '4.4.2', 'The content came too slowly'),
  sessionTooLong: defineReply(421, '4.4.2', 'The session has lasted too long, connect again'),
  tooManyErrors: defineReply(421, '4.7.0', 'Too many errors'),
  tooManyTransactions: defineReply(421, '4.7.0', 'Enough messages for one session, connect again'),
  endlessLine: defineReply(421, '4.7.0', 'Lines end at some point'),
  accessDeferred: defineReply(421, '4.7.1', 'Access denied for now, try again later'),
  clientNameNotNow: defineReply(421, '4.4.3', 'Your name cannot be looked up now, try again later'),
  clientUnwantedNow: defineReply(421, '4.7.1', 'Your address is not welcome now, try again later'),
  notHttp: defineReply(421, '4.7.0', 'This is a mail server'),

  queueLost: defineReply(451, '4.3.0', 'The queue cannot be reached, try again later'),
  resolverLost: defineReply(451, '4.4.3', 'The recipient cannot be looked up now, try again later'),
  callerLost: defineReply(451, '4.3.0', 'You cannot be looked up now, try again later'),
  recipientDeferred: defineReply(450, '4.7.1', 'Access denied for now, try again later'),
  // RFC 6647 section 5 has the code
  greylisted: defineReply(450, '4.7.1', 'Not known here yet, come again later'),
  mailUnwantedNow: defineReply(450, '4.7.1', 'Your address is not welcome now, try again later'),
  tooMuchMail: defineReply(450, '4.7.1', 'Too much mail from you, try again later'),
  intakeBusy: defineReply(451, '4.3.2', 'Too busy, try again later'),
  intakeFull: defineReply(452, '4.3.1', 'Short of resources, try again later'),
  backlogFull: defineReply(452, '4.3.1', 'Too much mail waits for that destination, try again later'),
  tooManyRecipients: defineReply(452, '4.5.3', 'Too many recipients in one transaction'),

  filterDeferred: defineReply(451, '4.7.1', 'Not accepted now, try again later'),
  filterLost: defineReply(451, '4.3.0', 'The message cannot be checked now, try again later'),

  // RFC 3207 section 4
  tlsBroken: defineReply(454, '4.7.0', 'TLS is not available now'),

  // RFC 4954 section 6
  authUnavailable: defineReply(454, '4.7.0', 'Logins cannot be checked now, try again later'),
  authBraked: defineReply(454, '4.7.0', 'Too many failed logins, try again later'),

  turnFailed: defineReply(458, '4.3.0', 'The queue cannot be asked now, try again later'),
  turnDenied: defineReply(459, '4.7.1', 'You may not ask for that'),

  unknownCommand: defineReply(500, '5.5.2', 'Command not recognized'),
  lineTooLong: defineReply(500, '5.5.6', 'Line too long'),
  bareNewlineInCommand: defineReply(500, '5.5.2', 'A line ends with CR and LF together'),
  controlInCommand: defineReply(500, '5.5.2', 'No control characters in commands'),
  notUtf8: defineReply(500, '5.5.2', 'Neither ASCII nor UTF-8'),
  responseTooLong: defineReply(500, '5.5.6', 'Authentication exchange line is too long'),
  authSyntax: defineReply(501, '5.5.4', 'Syntax: AUTH mechanism [initial-response]'),
  notBase64: defineReply(501, '5.5.2', 'That is not base64'),
  authMalformed: defineReply(501, '5.5.2', 'That response does not belong to this mechanism'),
  authCancelled: defineReply(501, '5.7.0', 'Authentication cancelled'),
  noParameters: defineReply(501, '5.5.4', 'No parameters allowed'),
  // RFC 3030 section 2: how many octets follow cannot be told, so nothing that follows can be understood
  chunkSyntax: defineReply(501, '5.5.4', 'Syntax: BDAT octets [LAST]; closing, since octets may follow'),
  helloSyntax: defineReply(501, '5.5.4', 'Syntax: EHLO, HELO or LHLO, then a domain or address literal'),
  mailSyntax: defineReply(501, '5.5.4', 'Syntax: MAIL FROM:<address> [parameters]'),
  rcptSyntax: defineReply(501, '5.5.4', 'Syntax: RCPT TO:<address> [parameters]'),
  turnSyntax: defineReply(501, '5.5.4', 'Syntax: ETRN [@]domain'),
  attributeSyntax: defineReply(501, '5.5.4', 'Syntax: attribute=value ...'),
  nameMissing: defineReply(501, '5.5.4', 'Of whom?'),
  whySyntax: defineReply(501, '5.5.4', 'Syntax: XWHY [FROM:<address> or AUTHOR:<address> or TO:<address>]'),
  parameterSyntax: defineReply(501, '5.5.4', 'Malformed parameter'),
  heldTooLong: defineReply(501, '5.5.4', 'The message cannot be held for so long'),
  parameterTwice: defineReply(501, '5.5.4', 'A parameter is given twice'),
  notImplemented: defineReply(502, '5.5.1', 'Command not implemented'),
  helloFirst: defineReply(503, '5.5.1', 'EHLO first'),
  // RFC 2033 section 4.1
  lhloFirst: defineReply(503, '5.5.1', 'LHLO first'),
  mailFirst: defineReply(503, '5.5.1', 'MAIL first'),
  mailTwice: defineReply(503, '5.5.1', 'A transaction is open already'),
  chunksBegun: defineReply(503, '5.5.1', 'BDAT has begun: go on with BDAT, or RSET'),
  // RFC 3030 section 3
  binaryByChunks: defineReply(503, '5.5.1', 'BINARYMIME content comes by BDAT, not DATA'),
  authTwice: defineReply(503, '5.5.1', 'You are logged in already'),
  unknownMechanism: defineReply(504, '5.5.4', 'That mechanism is not offered'),
  noRecipients: defineReply(503, '5.5.1', 'No valid recipients'),
  tlsAlready: defineReply(503, '5.5.1', 'TLS is on already'),
  // RFC 3207 section 4
  tlsFirst: defineReply(530, '5.7.0', 'Must issue a STARTTLS command first'),
  // RFC 4954 section 6
  authFirst: defineReply(530, '5.7.0', 'Authentication required'),
  authFailed: defineReply(535, '5.7.8', 'Wrong login or password'),
  authNeedsTls: defineReply(538, '5.7.11', 'Logins need TLS: issue a STARTTLS command first'),
  // RFC 6531 section 3.5
  utf8NotAsked: defineReply(553, '5.6.7', 'An internationalized address needs SMTPUTF8 in MAIL'),
  senderDenied: defineReply(550, '5.7.1', 'You may not send as that sender'),
  authorDenied: defineReply(550, '5.7.1', 'You may not write as the author that From names'),
  callerDenied: defineReply(550, '5.7.1', 'You may not send mail from here'),
  badSender: defineReply(553, '5.1.7', 'That sender is no address'),
  badRecipient: defineReply(553, '5.1.3', 'That recipient is no address'),
  mapTrouble: defineReply(451, '4.3.5', 'A table that decides about this cannot be asked now'),
  foreignSender: defineReply(553, '5.7.1', 'That sender is not yours to use'),
  unknownParameter: defineReply(555, '5.5.4', 'Parameter not recognized'),
  notTrusted: defineReply(550, '5.7.0', 'You may not speak for others'),
  filterRejected: defineReply(550, '5.7.1', 'Not accepted'),
  filterMissing: defineReply(550, '5.3.0', 'The message cannot be checked'),
  relayDenied: defineReply(550, '5.7.1', 'Relaying denied'),
  keyMissing: defineReply(451, '4.3.5', 'The key to sign your message cannot be read, try again later'),
  // RFC 6376 section 6.3 has the words, RFC 7372 section 3.1 the enhanced codes of those below
  signatureUnknown: defineReply(451, '4.7.5', 'The DKIM key cannot be looked up now, try again later'),
  signatureBroken: defineReply(550, '5.7.20', 'The DKIM signature does not verify'),
  signatureUnfit: defineReply(550, '5.7.21', 'The DKIM signature is too old, or leaves a part open'),
  signatureMissing: defineReply(550, '5.7.22', "No DKIM signature of the sender's domain"),
  recipientDenied: defineReply(550, '5.7.1', 'Access denied'),
  mailUnwanted: defineReply(550, '5.7.1', 'Your address is not welcome here'),
  // RFC 7372 section 3.2 has no code for DMARC; 5.7.1 is a refusal by policy
  forged: defineReply(550, '5.7.1', "The author's domain says that this is not its mail (DMARC)"),
  bareNewline: defineReply(550, '5.6.11', 'The message has a bare CR or LF'),
  // RFC 1870 section 6.1
  tooLarge: defineReply(552, '5.3.4', 'The message is larger than we take'),
  longHeader: defineReply(552, '5.3.4', 'The header is longer than we take'),
  manyFields: defineReply(552, '5.3.4', 'The header has more fields than we take'),
  longLine: defineReply(554, '5.6.0', 'A line is longer than we take'),
  nulInHeader: defineReply(554, '5.6.0', 'The header has a NUL'),
  nulInBody: defineReply(554, '5.6.0', 'The body has a NUL, and was not sent as binary'),
  // RFC 6531 section 3.7.4.2 has the enhanced code
  eightBitHeader: defineReply(550, '5.6.9', 'The header has octets beyond ASCII, which needs SMTPUTF8'),
  noneNamed: defineReply(554, '5.5.1', 'The header names no recipients'),
  tooManyNamed: defineReply(554, '5.5.3', 'The header names too many recipients'),
  badHeader: defineReply(554, '5.1.3', 'The header has a recipient that is no address'),
  noSenderNamed: defineReply(554, '5.1.7', 'The header names no sender'),
  accessDenied: defineReply(554, '5.7.1', 'Access denied'),
  clientUnwanted: defineReply(554, '5.7.1', 'Your address is not welcome here'),
  clientRefused: defineReply(554, '5.7.1', 'You may not connect here'),
  earlyTalker: defineReply(554, '5.7.1', 'You spoke before the greeting'),
  // RFC 5321 section 6.3
  looping: defineReply(554, '5.4.6', 'Too many hops: the message is looping'),
} as const satisfies Record<string, SmtpReply>

export type ReplyName = keyof typeof replies

// RFC 5321 section 4.3.1: the greeting begins with our name
export function greeting({ hostname, kind }: { hostname: string; kind: ListenerKind }): SmtpReply {
  return defineReply(220, '', `${hostname} ${kind === 'lmtp' ? 'LMTP' : 'ESMTP'} Posthorn`)
}

// RFC 5321 section 4.1.1.1
export function hello(hostname: string, keywords: readonly string[]): SmtpReply {
  return defineReply(250, '', [hostname, ...keywords].join('\n'))
}

// RFC 5321 section 3.5.1
export function mailboxes(addresses: readonly string[]): SmtpReply {
  return defineReply(250, '2.1.5', addresses.map((address) => `<${address}>`).join('\n'))
}

export function help(verbs: readonly string[]): SmtpReply {
  return defineReply(214, '2.0.0', `Commands:\n${verbs.join('\n')}`)
}

// RFC 3030 section 4.2
export function chunkTaken(octets: number): SmtpReply {
  return defineReply(250, '2.0.0', `${octets} octets received`)
}

/** RFC 4954 section 4: the octets of a mechanism, in base64. */
export function challenge(text: string): SmtpReply {
  return defineReply(334, '', text)
}

export function accepted(id: string): SmtpReply {
  return defineReply(250, '2.0.0', `${id} queued`)
}

/** What qmgr is short of, for the client that has to wait. */
export function withReason(reply: SmtpReply, reason: string): SmtpReply {
  return reason ? { ...reply, text: `${reply.text} (${reason})` } : reply
}
