/**
 * Whether a message may go out: by the account's word, by a grant, or by its user, who is asked.
 *
 * `unknown` is nobody's word; the message is held then. Rejects only when a grant cannot be written.
 */
import type { Reply } from '../../shared/message/outcome.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import type { Account } from '../accounts/account.ts'
import { isListed } from '../accounts/patterns.ts'
import { patternsFor } from './answer.ts'
import { askUser } from './confirmation.ts'
import { ALWAYS, type Asked, Grants } from './grants.ts'
import type { OutboxMessage } from './outbox.ts'

export class Consent {
  readonly #grants: Grants
  readonly #now: () => number

  constructor(state: string, now: () => number) {
    this.#grants = new Grants(state)
    this.#now = now
  }

  async ask(account: Account, message: OutboxMessage): Promise<'yes' | 'no' | 'unknown'> {
    const asked = askedOf(account, message)
    const { when } = account.confirm
    if (when === 'never' || asked.recipients.length === 0) return 'yes'
    if (when === 'first' && this.#grants.covers(asked, this.#now())) return 'yes'
    const answer = await askUser(account, { ...shownOf(message), inQuestion: asked.recipients })
    if (answer.kind !== 'yes') return answer.kind
    await this.#grant(account, message, answer.patterns, answer.always)
    return 'yes'
  }

  /** Its user has let a held message go, which is a yes. */
  async released(account: Account, message: OutboxMessage): Promise<void> {
    await this.#grant(account, message, patternsFor(askedOf(account, message).recipients, false), false)
  }

  async #grant(
    account: Account,
    { program }: OutboxMessage,
    recipients: readonly string[],
    always: boolean,
  ): Promise<void> {
    if (account.confirm.when !== 'first' || program === '' || recipients.length === 0) return
    const now = this.#now()
    const until = always ? ALWAYS : now + account.grant
    await this.#grants.add({ program, account: account.name, recipients }, until, now)
  }

  /** @param id null: all. */
  async revoke(id: string | null): Promise<Reply> {
    const count = await this.#grants.revoke(id)
    if (id !== null && count === 0) return own(550, '5.1.0', `${id} is no grant`)
    return own(250, '2.0.0', id === null ? `${count} revoked` : `${id} revoked`)
  }
}

/** Those recipients that need a word, and have none by the account. */
function askedOf(account: Account, { program, recipients }: OutboxMessage): Asked {
  const list = account.confirmRecipients
  const addresses = recipients.map(({ address }) => address)
  const asked = list === null ? addresses : addresses.filter((address) => isListed(list, address))
  return { program, account: account.name, recipients: asked }
}

/** What of a message stands in a question. */
export function shownOf({ program, account, sender, recipients, subject }: OutboxMessage) {
  return { program, account, from: sender, recipients: recipients.map(({ address }) => address), subject }
}
