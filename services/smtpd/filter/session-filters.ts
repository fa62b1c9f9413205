/**
 * The filters of a listener as one of its sessions uses them: the chain, and what it is told of the client.
 *
 * Nothing is dialled before the first recipient. Next: `chain.ts`, `examination.ts`; `milter.ts` for a kind of filter.
 */
import { formatId } from '../../../shared/base/ids.ts'
import type { Log } from '../../../shared/base/log.ts'
import type { FilterSlice } from '../../../shared/config/filter-slice.ts'
import type { Effect, Event, Hello, Setting, State, Transaction } from '../state.ts'
import { Chain } from './chain.ts'
import type { Filter, MessageFacts } from './change.ts'
import { Examination } from './examination.ts'
import { Milter } from './milter.ts'

interface Listening {
  filters: readonly FilterSlice[]
  log: Log
}
type Known = Pick<State, 'tls' | 'login'>

export class SessionFilters {
  readonly #chain: Chain

  /** Null where there are no filters. */
  static of({ filters, log }: Listening): SessionFilters | null {
    return filters.length > 0 ? new SessionFilters({ filters, log }) : null
  }

  private constructor({ filters, log }: Listening) {
    const links = filters.map(({ name, onFailure, ...plan }) => ({
      name,
      onFailure,
      filter: makeFilter(plan),
    }))
    this.#chain = new Chain(links, log)
  }

  consult(
    { n, hello, transaction, address }: Extract<Effect, { kind: 'consult' }>,
    setting: Setting,
    known: Known,
    tell: (event: Event) => void,
  ): void {
    const asked = this.#chain.recipient(factsOf(hello, transaction, setting, known), address)
    void asked.then((refusal) => tell({ kind: 'consulted', n, refusal }))
  }

  examine(
    hello: Hello,
    transaction: Transaction,
    setting: Setting,
    known: Known,
    resume: () => void,
  ): Examination {
    const addresses = transaction.recipients.map(({ address, original }) => original ?? address)
    const facts = factsOf(hello, transaction, setting, known)
    return new Examination(this.#chain, facts, [...new Set(addresses)], resume)
  }

  over(): void {
    this.#chain.over()
  }

  close(): void {
    this.#chain.close()
  }
}

function makeFilter({
  by,
  connectTimeout,
  timeout,
  contentTimeout,
}: Omit<FilterSlice, 'name' | 'onFailure'>): Filter {
  return new Milter({ address: by.address, connectTimeout, timeout, contentTimeout })
}

/** What a trusted host has said of its client (XCLIENT) counts as if it were so. */
function factsOf(
  hello: Hello,
  transaction: Transaction,
  setting: Setting,
  { tls, login }: Known,
): MessageFacts {
  const { hostname, listener, session, client, clientName, clientHelo } = setting
  const { sender, size, body, smtputf8 } = transaction
  const { user, mechanism } = login?.setting ?? setting
  const id = formatId('T', transaction.id)
  const who = { client, name: clientName, helo: clientHelo ?? hello.name, user, mechanism, tls }
  return { hostname, listener, session, ...who, id, sender, size, body, smtputf8 }
}
