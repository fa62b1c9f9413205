/**
 * Logging: one JSON line per state change, written by pino to standard output, which mcp collects.
 *
 * Severities have fixed meaning. `info`: a state change of a session, message or process. `warn`: odd, but
 * handled. `error`: something of ours failed and a person should look. `fatal`: the environment is wrong; the
 * process leaves and mcp decides. What a remote host says is never an error: it is a reply, logged as info.
 *
 * Lines are buffered (16 KiB or 100 ms) because a line per message is otherwise a system call per message;
 * `flush` runs at exit. Errors flush at once. A reader that has gone costs lines and nothing else.
 */
import { writeSync } from 'node:fs'
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

const STDOUT = 1
const FLUSH_LENGTH = 16_384
const FLUSH_INTERVAL_MS = 100

/** @param name the worker's name, for example `smtpd-1`; it stands in every line. */
export function openLog(name: string, severity: Severity = 'info'): Log {
  const lines = new LineBuffer(STDOUT)
  const flush = () => lines.flush()
  const logger = pino(settings(name, severity), lines)
  setInterval(flush, FLUSH_INTERVAL_MS).unref()
  process.on('exit', flush)
  return wrap(logger, flush)
}

/**
 * Lines on their way to a descriptor. pino's own destination tries a write that fails again and again until it
 * works, asleep in between: when the reader of our log has died that is for ever, and the process never ends.
 */
class LineBuffer {
  readonly #fd: number
  #text = ''

  constructor(fd: number) {
    this.#fd = fd
  }

  write(line: string): void {
    this.#text += line
    if (this.#text.length >= FLUSH_LENGTH) this.flush()
  }

  flush(): void {
    if (this.#text === '') return
    const octets = Buffer.from(this.#text)
    this.#text = ''
    try {
      for (let done = 0; done < octets.length; ) done += writeSync(this.#fd, octets, done)
    } catch {
      // nobody reads any more (EPIPE): what is left to say is lost, the mail is not
    }
  }
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
