/**
 * On what terms connections to a group of destinations are kept, where it is not as usual: the `server` section's
 * word, or a provider that several destinations share. qmgr says it with each delivery, smtpc keeps to it.
 */
import { type Infer, integer, optional, string, struct } from '../base/shape.ts'

export const connectionTermsShape = struct({
  group: string,
  /** Connections that may be open to the group, idle ones included. */
  most: integer,
  /** Over one connection. */
  transactions: optional(integer),
  /** Milliseconds that a connection is kept without work. */
  idle: optional(integer),
})
export type ConnectionTerms = Infer<typeof connectionTermsShape>
