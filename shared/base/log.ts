/**
 * Logging: one JSON line per state change, written by pino to standard output, which mcp collects.
 *
 * Severities have fixed meaning. `info`: a state change of a session, message or process. `warn`: odd, but
 * handled. `error`: something of ours failed and a person should look. `fatal`: the environment is wrong; the
 * process leaves and mcp decides. What a remote host says is never an error: it is a reply, logged as info.
 *
 * Lines are buffered (4 KiB or 100 ms) because a line per message is otherwise a system call per message;
 * `flush` runs at exit. Errors flush at once.
 */
import pino from 'pino'

export type Severity = 'debug' | 'info' | 'warn' | 'error' | 'fatal'
export type Facts = Record<string, unknown>

export interface Log {
  debug(facts: Facts, event: string): void
  info(facts: Facts, event: string): void
  warn(facts: Facts, event: string): void
  error(facts: Facts, event: string): void
  fatal(facts: Facts, event: string): void
  child(facts: Facts): Log
  flush(): void
  setSeverity(severity: Severity): void
}

const FLUSH_INTERVAL_MS = 100

/** @param name the worker's name, for example `smtpd-1`; it stands in every line. */
export function openLog(name: string, severity: Severity = 'info'): Log {
  const destination = pino.destination({ dest: 1, sync: true, minLength: 4096 })
  const logger = pino(settings(name, severity), destination)
  const timer = setInterval(() => destination.flushSync(), FLUSH_INTERVAL_MS)
  timer.unref()
  process.on('exit', () => destination.flushSync())
  return wrap(logger, () => destination.flushSync())
}

/** For mcp, which collects the lines itself: each goes to `write`, at once. */
export function openLogInto(write: (line: string) => void, name: string, severity: Severity): Log {
  return wrap(pino(settings(name, severity), { write }), () => undefined)
}

/** The level stands first in each line: mcp tells severities apart by that byte. */
function settings(name: string, severity: Severity): pino.LoggerOptions {
  return {
    name,
    level: severity,
    base: { name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  }
}

function wrap(logger: pino.Logger, flush: () => void): Log {
  return {
    debug: (facts, event) => logger.debug(facts, event),
    info: (facts, event) => logger.info(facts, event),
    warn: (facts, event) => logger.warn(facts, event),
    error: (facts, event) => {
      logger.error(facts, event)
      flush()
    },
    fatal: (facts, event) => {
      logger.fatal(facts, event)
      flush()
    },
    child: (facts) => wrap(logger.child(facts), flush),
    flush,
    setSeverity: (severity) => {
      logger.level = severity
    },
  }
}

/** Swallows everything: for tests of parts that want a log but whose lines do not matter. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  fatal: () => undefined,
  child: () => silentLog,
  flush: () => undefined,
  setSeverity: () => undefined,
}
