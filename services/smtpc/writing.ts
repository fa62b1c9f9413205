/**
 * How content gets into a socket: small content in one write with its end and whatever is to follow, from a
 * buffer that is used again; large content as it is, only the dot-stuffed pieces being copies.
 *
 * `flushed` is called once the kernel has taken the dot. Next: `content.ts`.
 */
import type { Socket } from 'node:net'
import type { Reply } from '../../shared/message/outcome.ts'
import { DotStuffer } from '../../shared/smtp/dot-stuffer.ts'
import type { ContentStream } from './content.ts'
import type { Downgrade } from './downgrade.ts'

export type Flushed = (error?: Error | null) => void

/** Content, end and follow-up that fit in here leave in one write. */
const SCRATCH_OCTETS = 96 * 1024

let scratch = Buffer.allocUnsafeSlow(SCRATCH_OCTETS)

/** Content up to this many octets leaves together with the next transaction's commands. */
export const JOIN_LIMIT = 64 * 1024

/** What is done to content on its way: dots doubled and an end put behind it, or nothing. */
export interface Wrapping {
  push: (piece: Buffer) => Buffer
  end: () => Buffer
  /** It cannot go on; why. */
  readonly trouble: Reply | null
}

const NOTHING = Buffer.alloc(0)
/** After BDAT, which said how much will come (RFC 3030 section 2). */
const bare: Wrapping = { push: (piece) => piece, end: () => NOTHING, trouble: null }

export function wrappingFor(body: 'dots' | 'chunk'): Wrapping {
  return body === 'chunk' ? bare : dotted(new DotStuffer())
}

function dotted(dots: DotStuffer): Wrapping {
  return { push: (piece) => dots.push(piece), end: () => dots.end(), trouble: null }
}

/** Content that is changed on its way, before its dots are doubled. */
export function changed(downgrade: Downgrade): Wrapping {
  const dots = new DotStuffer()
  return {
    push: (piece) => dots.push(downgrade.push(piece)),
    end: () => Buffer.concat([dots.push(downgrade.end()), dots.end()]),
    get trouble() {
      return downgrade.trouble
    },
  }
}

/** @param follow commands that may be sent before the reply to the dot, or ''. */
export function writeWhole(
  socket: Socket,
  content: Buffer,
  wrapping: Wrapping,
  follow: string,
  flushed: Flushed,
): void {
  const stuffed = wrapping.push(content)
  const end = wrapping.end()
  if (stuffed.length + end.length + follow.length * 3 > SCRATCH_OCTETS) {
    socket.cork()
    socket.write(stuffed)
    socket.write(end, flushed)
    if (follow) socket.write(follow)
    return socket.uncork()
  }
  let length = stuffed.copy(scratch)
  length += end.copy(scratch, length)
  if (follow) length += scratch.write(follow, length)
  socket.write(scratch.subarray(0, length), flushed)
  // what the kernel has not taken is still read from this buffer
  if (socket.writableLength > 0) scratch = Buffer.allocUnsafeSlow(SCRATCH_OCTETS)
}

/** Someone who takes care of a stream's progress. */
export interface StreamWatcher {
  /** Whether content is still wanted on this socket. */
  wanted: () => boolean
  progress: () => void
  /** All content and the dot have been handed to the socket. */
  handed: () => void
  flushed: Flushed
  /** The content cannot be given to this host; nothing more is written. */
  unfit: (reply: Reply) => void
}

export function writeStream(
  socket: Socket,
  content: ContentStream,
  wrapping: Wrapping,
  watcher: StreamWatcher,
): void {
  const write = (chunk: Buffer) => {
    const octets = wrapping.push(chunk)
    if (wrapping.trouble) return watcher.unfit(wrapping.trouble)
    socket.write(octets, (error) => {
      if (error) return
      watcher.progress()
      if (watcher.wanted()) content.sent(chunk.length)
    })
  }
  const more = () => {
    if (!watcher.wanted()) return
    for (let chunk = content.take(); chunk && watcher.wanted(); chunk = content.take()) write(chunk)
    if (!content.done || !watcher.wanted()) return
    content.read(null)
    const end = wrapping.end()
    if (wrapping.trouble) return watcher.unfit(wrapping.trouble)
    socket.write(end, watcher.flushed)
    watcher.handed()
  }
  content.read(more)
  more()
}
