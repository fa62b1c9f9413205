/**
 * One connection to the agent's socket: the shell around `intake.ts`. Only the agent's own user is served, by the
 * kernel's word; nobody else gets a greeting.
 *
 * Octets are taken as fast as they can be written to disk. A connection that breaks before the dot leaves nothing.
 */
import type { Socket } from 'node:net'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import { DataParser } from '../../shared/smtp/data-parser.ts'
import { LineReader } from '../../shared/smtp/line-reader.ts'
import { renderReply, type SmtpReply } from '../../shared/smtp/reply.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import { peerCredentials } from '../../shared/system/credentials.ts'
import type { Desk } from './desk.ts'
import { Incoming } from './incoming.ts'
import { Intake, type IntakeEnvelope, type Step } from './intake.ts'
import { newMessageId, type Outbox } from './outbox.ts'
import { programOf } from './program.ts'

export interface ReceptionOptions {
  desk: Desk
  outbox: Outbox
  sizeLimit: number
  uid: number
  now: () => number
  log: (text: string) => void
  /** A message is in hand, or is not any more; a socket without one may be closed at any time. */
  onWork: (socket: Socket, working: boolean) => void
  /** No further message is taken. */
  leaving: () => boolean
}

const IDLE_MS = 300_000

/** Content that is on its way. */
interface Reading {
  id: string
  envelope: IntakeEnvelope
  incoming: Incoming
  parser: DataParser
}

/** Serves a connection to its end; never rejects. */
export async function receive(socket: Socket, options: ReceptionOptions): Promise<void> {
  socket.on('error', () => undefined) // 'close' ends the loop
  const peer = peerCredentials(socket)
  if (peer?.uid !== options.uid) {
    options.log(`a connection of uid ${peer?.uid ?? 'unknown'} was turned away`)
    return void socket.destroy()
  }
  socket.setTimeout(IDLE_MS, () => socket.destroy())
  await new Reception(socket, options, programOf(peer.pid)).run()
}

class Reception {
  readonly #socket: Socket
  readonly #options: ReceptionOptions
  readonly #program: string
  readonly #intake: Intake
  readonly #lines = new LineReader()
  #reading: Reading | null = null

  constructor(socket: Socket, options: ReceptionOptions, program: string) {
    this.#socket = socket
    this.#options = options
    this.#program = program
    this.#intake = new Intake(options.sizeLimit)
  }

  async run(): Promise<void> {
    this.#say({ code: 220, enhanced: '', text: 'posthorn agent LMTP' })
    try {
      for await (const chunk of this.#socket) {
        if (!(await this.#take(chunk as Buffer))) break
      }
    } catch {
      // the client has gone
    }
    await this.#reading?.incoming.discard().catch(() => undefined) // swept when an agent starts
    this.#socket.destroySoon()
  }

  /** False: the session is over. */
  async #take(chunk: Buffer): Promise<boolean> {
    let at = 0
    while (at < chunk.length) {
      if (this.#reading) {
        const end = this.#reading.parser.push(chunk, at)
        if (end < 0) {
          await this.#reading.incoming.flush()
          return true
        }
        at = end
        await this.#finish(this.#reading)
        if (this.#options.leaving()) return false
        continue
      }
      at = this.#lines.read(chunk, at)
      const { line } = this.#lines
      if (line && !(await this.#step(this.#intake.line(line)))) return false
    }
    return true
  }

  async #step(step: Step): Promise<boolean> {
    switch (step.kind) {
      case 'reply':
        this.#say(step.reply)
        return true
      case 'data':
        this.#begin(step.envelope)
        return true
      case 'outbox':
        this.#say(await this.#options.desk.work.act(step.act, step.id).catch(storageTrouble))
        return true
      case 'revoke':
        this.#say(await this.#options.desk.revoke(step.id).catch(storageTrouble))
        return true
      case 'quit':
        this.#say(own(221, '2.0.0', 'bye'))
        return false
    }
  }

  #begin(envelope: IntakeEnvelope): void {
    const { outbox, sizeLimit, desk, now } = this.#options
    const id = newMessageId(now())
    const incoming = new Incoming(outbox.incoming(id), sizeLimit, (heading) =>
      desk.complete(envelope, heading),
    )
    const parser = new DataParser(true, (chunk, from, to) => incoming.push(chunk.subarray(from, to)))
    this.#reading = { id, envelope, incoming, parser }
    this.#say({ code: 354, enhanced: '', text: 'go ahead' })
  }

  async #finish({ id, envelope, incoming, parser }: Reading): Promise<void> {
    this.#reading = null
    this.#options.onWork(this.#socket, true)
    this.#socket.setTimeout(0) // asking the user and the provider has bounds of its own
    const refused = whyRefused(incoming, parser.seen.nuls)
    const outcomes = refused
      ? envelope.recipients.map(() => refused)
      : await this.#submit(id, envelope, incoming).catch((error: unknown) =>
          envelope.recipients.map((): Outcome => {
            return { kind: 'later', reply: storageTrouble(error), blame: 'ours' }
          }),
        )
    await incoming.discard().catch(() => undefined)
    this.#socket.setTimeout(IDLE_MS)
    if (this.#intake.lmtp) for (const { reply } of outcomes) this.#say(reply)
    else this.#say(summary(envelope, outcomes))
    this.#options.onWork(this.#socket, false)
  }

  async #submit(id: string, envelope: IntakeEnvelope, incoming: Incoming): Promise<Outcome[]> {
    await incoming.end()
    const caller = { program: this.#program, hearsEach: this.#intake.lmtp }
    return this.#options.desk.submit(id, envelope, incoming, caller)
  }

  #say(reply: SmtpReply): void {
    this.#socket.write(renderReply(reply))
  }
}

function whyRefused(incoming: Incoming, nuls: number): Outcome | null {
  if (incoming.tooLarge) return { kind: 'never', reply: own(552, '5.3.4', 'the message is too large') }
  if (incoming.endless) return { kind: 'never', reply: own(554, '5.6.0', 'the header has no end') }
  // RFC 5322 section 3.5
  if (nuls > 0) return { kind: 'never', reply: own(554, '5.6.0', 'the message has a NUL') }
  return null
}

function storageTrouble(error: unknown): Reply {
  const code = (error as NodeJS.ErrnoException | null)?.code
  return own(452, '4.3.1', `the outbox cannot be written (${code ?? String(error)})`)
}

/** One reply for all (SMTP): the gravest when nobody has it, else a yes that names who has not. */
export function summary({ recipients }: IntakeEnvelope, outcomes: readonly Outcome[]): SmtpReply {
  const bad = outcomes.filter(({ kind }) => kind !== 'sent')
  const worst = bad.find(({ kind }) => kind === 'later') ?? bad[0]
  const first = outcomes.find(({ kind }) => kind === 'sent')
  if (!first) return worst?.reply ?? own(451, '4.3.0', 'no outcome')
  const named = outcomes.flatMap(({ kind, reply }, at) =>
    kind === 'sent'
      ? []
      : [`<${recipients[at]?.address}> refused: ${reply.code} ${reply.text.split('\n')[0]}`],
  )
  return { ...first.reply, text: [...named, first.reply.text].join('\n') }
}
