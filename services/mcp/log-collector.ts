/**
 * Where all log lines meet: the workers' outputs and mcp's own, spread over the channels of the config.
 *
 * Whole chunks are passed on as they come; they are taken apart only for a channel that wants less than the
 * workers write. A standard error that nobody reads, or a disk that is full, costs log lines and nothing else.
 * Next: `log-lines.ts` (bytes), `log-file.ts` and
 * `standard-error.ts` (where they go).
 */
import type { Readable } from 'node:stream'
import type { Severity } from '../../shared/base/log.ts'
import type { LogChannel } from '../../shared/config/slices.ts'
import { LogFile } from './log-file.ts'
import { cutAtLineEnd, filterLines, rank, wrapForeign } from './log-lines.ts'
import { StandardError } from './standard-error.ts'

interface Sink {
  write: (lines: Uint8Array) => void
  reopen: () => void
  close: () => void
  trouble: () => string
}
interface Channel {
  least: number
  sink: Sink
}

export class LogCollector {
  #channels: Channel[] = []
  #stderr: StandardError | null = null

  /** Takes over from the channels that were; answers what does not work, one sentence each. */
  configure(channels: readonly LogChannel[], severity: Severity): string[] {
    for (const { sink } of this.#channels) sink.close()
    const written = rank(severity)
    this.#channels = channels.map(({ target, severity: wanted }) => ({
      least: rank(wanted) <= written ? 0 : rank(wanted),
      sink: target.kind === 'stderr' ? this.#stderrSink() : fileSink(new LogFile(target)),
    }))
    return this.troubles()
  }

  troubles(): string[] {
    return this.#channels.map(({ sink }) => sink.trouble()).filter((trouble) => trouble !== '')
  }

  reopen(): void {
    for (const { sink } of this.#channels) sink.reopen()
  }

  /** The end: what was taken is handed on first. */
  async close(): Promise<void> {
    for (const { sink } of this.#channels) sink.close()
    this.#channels = []
    await this.#stderr?.flush()
  }

  /** Whole lines only. */
  take(lines: Buffer): void {
    if (lines.length === 0) return
    for (const { least, sink } of this.#channels) {
      const wanted = filterLines(lines, least)
      if (wanted.length > 0) sink.write(wanted)
    }
  }

  #stderrSink(): Sink {
    this.#stderr ??= new StandardError()
    const stderr = this.#stderr
    const nothing = () => undefined
    return { write: (lines) => stderr.write(lines), reopen: nothing, close: nothing, trouble: () => '' }
  }

  /** Collects one output of a worker until it ends. `foreign`: lines that are not JSON are to be expected. */
  attach(stream: Readable, name: string, foreign: boolean): void {
    let partial: Buffer | null = null
    const pass = (lines: Buffer) => this.take(foreign ? wrapForeign(lines, name, new Date()) : lines)
    stream.on('data', (chunk: Buffer) => {
      const { whole, rest } = cutAtLineEnd(partial, chunk)
      partial = rest
      pass(whole)
    })
    stream.on('error', () => undefined) // 'close' follows
    stream.on('close', () => {
      if (partial) pass(Buffer.concat([partial, Buffer.from('\n')]))
      partial = null
    })
  }
}

function fileSink(file: LogFile): Sink {
  return {
    write: (lines) => file.write(lines),
    reopen: () => file.reopen(),
    close: () => file.close(),
    trouble: () => file.trouble,
  }
}
