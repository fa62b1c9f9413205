/** What `posthorn status` is told of processes, resources and the queue; the messages are in `messages.ts`. */
import {
  type Infer,
  integer,
  list,
  measure,
  nullable,
  oneOf,
  optional,
  record,
  string,
  struct,
} from '../base/shape.ts'
import { replyShape } from '../message/outcome.ts'

export const processStatusShape = struct({
  name: string,
  role: string,
  pid: nullable(integer),
  state: oneOf('starting', 'ready', 'draining', 'backing-off', 'stopped', 'given-up'),
  uid: nullable(integer),
  startedAt: nullable(integer),
  restarts: integer,
  lastExit: nullable(string),
  /** The worker's own figures, from its last heartbeat. */
  figures: record(measure),
})
export type ProcessStatus = Infer<typeof processStatusShape>

/** The server as mcp sees it. */
export const serverStatusShape = struct({
  build: string,
  epoch: integer,
  configFile: string,
  startedAt: integer,
  processes: list(processStatusShape),
  /** Guarantees that are off here, one sentence each (no root, no setpriv, no Landlock). */
  missing: list(string),
})

/** The state of one resource, with its marks. */
const throttleShape = struct({
  resource: string,
  state: oneOf('go', 'wait', 'refuse'),
  /** Milliseconds since 1970. */
  since: integer,
  value: measure,
  unit: oneOf('count', 'octets', 'per-second', 'milliseconds'),
  wait: measure,
  refuse: measure,
  relief: measure,
})
export type ThrottleStatus = Infer<typeof throttleShape>

export const queueStatusShape = struct({
  active: integer,
  deferred: integer,
  held: integer,
  /** Can be restored still. */
  removed: integer,
  octets: integer,
  /** All of them; those on local sockets; those that wait for their greeting. */
  sessions: integer,
  localSessions: integer,
  waitingSessions: integer,
  accepted: integer,
  delivered: integer,
  /** Sessions and messages that a limit of their client has refused. */
  limited: integer,
  /** Logins that were right, that were wrong, and that were not looked at because too many had been. */
  logins: integer,
  failedLogins: integer,
  brakedLogins: integer,
  intake: oneOf('go', 'wait', 'refuse'),
  /** The resource that is shortest. */
  reason: string,
  throttles: list(throttleShape),
  /** At most a hundred of them. */
  fullDestinations: list(string),
  /** Groups of destinations to which nothing is sent for now; as many. */
  suspended: list(
    struct({
      group: string,
      /** Milliseconds since 1970. */
      until: integer,
      retryClass: string,
      reply: replyShape,
      hint: optional(string),
    }),
  ),
  /** Destinations that do not answer, and when they are tried again; as many. */
  dead: list(struct({ destination: string, until: integer })),
})
