/**
 * How a session stands with qmgr, which counts those of all smtpds: it asks to be let in, and is told when it is over.
 * Whom qmgr lets in is asked for its name of the resolver, where that matters (`setting.ts`).
 *
 * Fails: no answer is null, and the session ends with 421; a name that nobody tells is one that cannot be told.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import type { QueueBus } from './queue-bus.ts'
import type { SessionLog } from './session-log.ts'
import type { Setting } from './state.ts'
import { whoOf } from './transaction.ts'

export class Enrolment {
  readonly #bus: QueueBus
  readonly #log: Pick<SessionLog, 'takeRefusals' | 'named'>
  /** The session that qmgr counts, or has in a queue. */
  #counted: string | null = null

  constructor(bus: QueueBus, log: Pick<SessionLog, 'takeRefusals' | 'named'>) {
    this.#bus = bus
    this.#log = log
  }

  /** It may have to wait for its place in a queue, which it leaves with `close`. */
  open(setting: Setting, answered: (answer: Answer<'session-open'> | null, setting: Setting) => void): void {
    const { session, listener, client } = setting
    this.#counted = session
    this.#bus.openSession({ session, listener, client, ...whoOf(setting) }, (answer) => {
      if (answer?.kind !== 'go' && this.#counted === session) this.#counted = null
      if (answer?.kind !== 'go' || !setting.naming) return answered(answer, setting)
      this.#name(client, setting.naming, answered)
    })
  }

  #name(
    client: string,
    naming: NonNullable<Setting['naming']>,
    answered: (answer: Answer<'session-open'>, setting: Setting) => void,
  ): void {
    this.#bus.nameClient({ client }, (named) => {
      const { setting, barred } = naming(named ?? { kind: 'later' })
      this.#log.named(setting, barred)
      answered(barred ? { kind: 'refused', reply: { ...barred.reply, host: '' } } : { kind: 'go' }, setting)
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
