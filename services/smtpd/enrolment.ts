/**
 * How a session stands with qmgr, which counts those of all smtpds: it asks to be let in, and is told when it is over.
 *
 * Fails: no answer is null, and the session ends with 421.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import type { QueueBus } from './queue-bus.ts'
import type { SessionLog } from './session-log.ts'
import type { Setting } from './state.ts'
import { whoOf } from './transaction.ts'

export class Enrolment {
  readonly #bus: QueueBus
  readonly #log: Pick<SessionLog, 'takeRefusals'>
  /** The session that qmgr counts, or has in a queue. */
  #counted: string | null = null

  constructor(bus: QueueBus, log: Pick<SessionLog, 'takeRefusals'>) {
    this.#bus = bus
    this.#log = log
  }

  /** It may have to wait for its place in a queue, which it leaves with `close`. */
  open(setting: Setting, answered: (answer: Answer<'session-open'> | null) => void): void {
    const { session, listener, client } = setting
    this.#counted = session
    this.#bus.openSession({ session, listener, client, ...whoOf(setting) }, (answer) => {
      if (answer?.kind !== 'go' && this.#counted === session) this.#counted = null
      answered(answer)
    })
  }

  /** Its client has logged in, and is counted as that user from now on; `refused` when it has too much already. */
  identify(setting: Setting, refused: (reply: SmtpReply) => void): void {
    const { session, listener, client } = setting
    if (this.#counted === null) return
    this.#bus.openSession({ session, listener, client, ...whoOf(setting) }, (answer) => {
      // the limits of a user whom qmgr has lost sight of are met with the next message
      if (answer?.kind === 'refused' && this.#counted === session) refused(answer.reply)
    })
  }

  close(): void {
    const session = this.#counted
    this.#counted = null
    if (session !== null) this.#bus.closeSession(session, this.#log.takeRefusals())
  }
}
