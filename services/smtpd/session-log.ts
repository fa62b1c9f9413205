/**
 * What the log says of a session: one line for each transaction that came to an end, for each recipient that was
 * turned away, and for the session itself. Ids stand in each, so that a message can be followed.
 */
import { formatId } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import type { Barred } from './admission.ts'
import type { Checked } from './authentication/authenticate.ts'
import { type Limit, optionOf } from './patience.ts'
import type { Effect, PhaseName, Setting, Standing, Told, Transaction } from './state.ts'
import type { TlsFacts } from './tls-facts.ts'

const LONGEST_REPLY = 200

export class SessionLog {
  readonly #log: Log
  #setting: Setting
  #accepted = 0
  #refusals = 0
  #user: string | undefined
  /** The last reply that was a no. */
  #no: SmtpReply | null = null

  constructor(log: Log, setting: Setting) {
    this.#log = log
    this.#setting = setting
  }

  #transaction({ transaction, reply, discarded }: Extract<Effect, { kind: 'ended' }>): void {
    const { id, sender, recipients, size, forwarded } = transaction
    const { code, enhanced, text } = reply
    const { session, client } = this.#setting
    const who = this.#user === undefined ? {} : { user: this.#user }
    const facts = {
      session,
      id: formatId('T', id),
      client,
      ...who,
      sender,
      recipients: recipients.length,
      size,
      ...(forwarded && { forwarded }),
    }
    if (discarded) return this.#log.info(facts, 'discarded')
    if (code === 250) {
      this.#accepted++
      return this.#log.info(facts, 'accepted')
    }
    this.#log.info({ ...facts, code, enhanced, text }, 'not accepted')
  }

  note(effect: Extract<Effect, { kind: 'ended' | 'turned-away' | 'ruled' | 'judged' }>): void {
    switch (effect.kind) {
      case 'ended':
        return this.#transaction(effect)
      case 'turned-away':
        return this.#turnedAway(effect)
      case 'ruled':
        return this.#ruled(effect)
      case 'judged':
        return this.#judged(effect.standing)
      default:
        return effect satisfies never
    }
  }

  #turnedAway({ address, sender, reply }: Extract<Effect, { kind: 'turned-away' }>): void {
    const { session, client } = this.#setting
    const { code, enhanced, text } = reply
    if (code >= 500) this.#refusals++
    this.#log.info({ session, client, sender, recipient: address, code, enhanced, text }, 'recipient refused')
  }

  #ruled({ address, sender, ruling }: Extract<Effect, { kind: 'ruled' }>): void {
    const { session, client } = this.#setting
    const { place, action, tags, redirect } = ruling
    const what = { action, rule: place, ...(tags.length > 0 && { tags }), ...(redirect && { redirect }) }
    const severity = action === 'accept' ? 'debug' : 'info'
    this.#log[severity]({ session, client, sender, recipient: address, ...what }, 'access rule')
  }

  #judged({ score, signs, verdict }: Standing): void {
    if (signs.length === 0) return
    const { session, client } = this.#setting
    const found = signs.map((one) => `${one.name} ${one.score}`)
    this.#log.info({ session, client, score, signs: found, verdict }, 'client screened')
  }

  /** What DNS calls the client, and what may come of it. */
  named(setting: Setting, barred: Barred | null): void {
    this.#setting = setting
    const { session, listener, client } = setting
    if (!barred) return
    const { code, enhanced, text } = barred.reply
    const rule = barred.place === null ? {} : { rule: barred.place }
    const who = { session, listener, client, ...nameIn(setting) }
    this.#log.info({ ...who, ...rule, code, enhanced, text }, 'client refused')
  }

  /** XCLIENT: whose session it is from now on. */
  assume(setting: Setting, told: Told): void {
    const { session, client } = this.#setting
    this.#setting = setting
    if (told['LOGIN'] !== undefined) this.#user = told['LOGIN']
    this.#log.info({ session, by: client, client: setting.client, told }, 'speaks for another')
  }

  /** Recipients that got a 5xx since this was asked the last time. */
  takeRefusals(): number {
    const refusals = this.#refusals
    this.#refusals = 0
    return refusals
  }

  overdue(limit: Limit, phase: PhaseName): void {
    const { session, client } = this.#setting
    this.#log.info({ session, client, deadline: optionOf[limit], phase }, 'client too slow')
  }

  moved(from: PhaseName, to: PhaseName): void {
    this.#log.debug({ session: this.#setting.session, from, to }, 'phase')
  }

  socketFailed(error: Error): void {
    this.#log.debug({ session: this.#setting.session, why: error.message }, 'socket failed')
  }

  login(effect: Extract<Effect, { kind: 'logged-in' | 'not-logged-in' }>): void {
    const { session, client } = this.#setting
    const { login, mechanism } = effect
    const facts = { session, client, user: login, mechanism }
    if (effect.kind === 'not-logged-in') return this.#log.info({ ...facts, why: effect.why }, 'login failed')
    this.#user = login
    this.#log.info(facts, 'logged in')
  }

  checked({ id }: Transaction, { results }: Checked): void {
    if (!results) return
    const { spf, dkim, dmarc, arc } = results
    const passed = dkim.flatMap(({ result, domain }) => (result === 'pass' ? [domain] : []))
    this.#log.info(
      {
        ...{ session: this.#setting.session, id: formatId('T', id), spf: spf.result, sender: spf.value },
        ...{ dkim: passed, dmarc: dmarc.result, policy: dmarc.policy, from: dmarc.from },
        ...(arc && { arc: arc.result, sealer: arc.sealer, trusted: arc.trusted }),
      },
      'authenticated',
    )
  }

  /** What the client is told. */
  said(reply: SmtpReply): void {
    if (reply.code >= 400) this.#no = reply
  }

  /** @param errors of the client, as `error-limit` counts them. */
  closed(facts: TlsFacts | null, errors: number): void {
    const { session, listener, client } = this.#setting
    const tls = facts ? `${facts.version} ${facts.cipher}` : ''
    const named = nameIn(this.#setting)
    const no = this.#no && { errors, refused: inOneLine(this.#no) }
    this.#log.info(
      { session, listener, client, ...named, accepted: this.#accepted, tls, ...no },
      'session closed',
    )
  }
}

function inOneLine({ code, enhanced, text }: SmtpReply): string {
  const [first = ''] = text.split('\n', 1)
  return `${code} ${enhanced} ${first.slice(0, LONGEST_REPLY)}`
}

/** A name that does not lead back to the client is no name. */
function nameIn({ named }: Setting): { name?: string } {
  return named?.kind === 'confirmed' ? { name: named.name } : {}
}
