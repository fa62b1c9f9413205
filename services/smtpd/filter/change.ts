/**
 * What a filter may say of a message, whatever protocol it speaks: a word after each question, and at the end of
 * the content changes besides. The three kinds of filters (`milter.ts`, `policy.ts`, `rspamd.ts`) are asked through
 * `Filter`; `chain.ts` asks them in order and knows what a dead one means.
 *
 * Fails: a filter that cannot be reached, is late or talks nonsense rejects with FilterTrouble.
 */
import type { SmtpReply } from '../../../shared/smtp/reply.ts'
import type { Named } from '../session-setting.ts'
import type { TlsFacts } from '../tls-facts.ts'
import type { Field } from './header.ts'

export type Word =
  | { kind: 'continue' }
  /** No more questions about this message. */
  | { kind: 'accept' }
  /** The client hears that it was taken, and nobody gets it. */
  | { kind: 'discard' }
  | { kind: 'refuse'; reply: SmtpReply }
  /** Of a recipient: put off, unless a filter behind this one refuses it for good. */
  | { kind: 'defer'; reply: SmtpReply }
  /** Of a recipient: if a filter behind this one refuses it for good, it is put off instead. */
  | { kind: 'soften'; reply: SmtpReply }

/** Values of fields begin with the space that stands behind the colon. */
export type Change =
  | { kind: 'add-field'; name: string; value: string }
  /** `index` as milters count: 0 and 1 are the top, below our own Received. */
  | { kind: 'insert-field'; index: number; name: string; value: string }
  /** The `index`th field of that name, from 1; without a value it goes. */
  | { kind: 'change-field'; index: number; name: string; value: string }
  | { kind: 'sender'; address: string }
  | { kind: 'add-recipient'; address: string; parameters: string }
  | { kind: 'remove-recipient'; address: string }
  /** The next piece of a body that takes the old one's place. */
  | { kind: 'body'; octets: Buffer }
  /** Kept in the queue until an administrator releases it. */
  | { kind: 'hold'; reason: string }

export interface Finding {
  word: Word
  changes: readonly Change[]
}

export const CONTINUE: Word = { kind: 'continue' }

export class FilterTrouble extends Error {}

/** What is known of a client when its first recipient is looked at. */
export interface SessionFacts {
  hostname: string
  listener: string
  session: string
  /** '' for the local socket. */
  client: string
  /** What DNS calls it, or somebody who is trusted; null: nobody was asked. */
  named: Named | null
  helo: string
  user: string | undefined
  /** By which it logged in. */
  mechanism: string | undefined
  tls: TlsFacts | null
  protocol: 'SMTP' | 'ESMTP' | 'LMTP'
  ends: Ends
}

/** A name that leads back to its address. */
export function confirmedName(named: Named | null): string | undefined {
  return named?.kind === 'confirmed' ? named.name : undefined
}

/** What the address is called in DNS, whether that leads back or not. */
export function reverseName(named: Named | null): string | undefined {
  return named && 'name' in named ? named.name : undefined
}

/** The two ends of the connection, as far as they are those of the client: ports are 0 where they are not known. */
export interface Ends {
  clientPort: number
  /** '' for the local socket. */
  serverAddress: string
  serverPort: number
}

export interface MessageFacts extends SessionFacts {
  /** As printed. */
  id: string
  sender: string
  /** SIZE of MAIL; 0: not said. */
  size: number
  body: '7bit' | '8bitmime' | 'binarymime'
  smtputf8: boolean
  /** RCPT commands that were accepted so far. */
  agreed: number
}

/** One filter for one session. The questions about a message come in this order, `recipient` once for each. */
export interface Filter {
  /** It counts on it that a recipient it has been told of gets the message, if it does not refuse it itself. */
  readonly remembers: boolean
  recipient(facts: MessageFacts, address: string): Promise<Word>
  /** The recipients are known, and content may come. */
  data(facts: MessageFacts, recipients: readonly string[]): Promise<Word>
  /** The content begins. `recipients`: those that were accepted. */
  header(facts: MessageFacts, recipients: readonly string[], fields: readonly Field[]): Promise<Word>
  /** The octets are the caller's again when this resolves. */
  body(octets: Buffer): Promise<Word>
  end(): Promise<Finding>
  /** The message is over, however; may come at any time. */
  over(): void
  close(): void
}
