/**
 * The filters of a listener as one of its sessions uses them: the chain, and what it is told of the client.
 *
 * Nothing is dialled before the first recipient. Next: `chain.ts`, `examination.ts`; `milter.ts` for a kind of filter.
 */
import type { Socket } from 'node:net'
import { formatId } from '../../../shared/base/ids.ts'
import type { Log } from '../../../shared/base/log.ts'
import { plainAddress } from '../setting.ts'
import type { Effect, Event, Hello, Setting, State, Transaction } from '../state.ts'
import { Chain } from './chain.ts'
import type { Ends, MessageFacts } from './change.ts'
import { Examination } from './examination.ts'
import type { FilterMaker } from './makers.ts'

interface Listening {
  filters: readonly FilterMaker[]
  log: Log
}
type Known = Pick<State, 'tls' | 'login'>
type Asked = Extract<Effect, { kind: 'consult' | 'admit' }>

export class SessionFilters {
  readonly #chain: Chain
  readonly #ends: SocketEnds

  /** Null where there are no filters. */
  static of({ filters, log }: Listening, socket: Socket): SessionFilters | null {
    return filters.length > 0 ? new SessionFilters({ filters, log }, endsOf(socket)) : null
  }

  private constructor({ filters, log }: Listening, ends: SocketEnds) {
    const links = filters.map(({ name, onFailure, make }) => ({ name, onFailure, filter: make() }))
    this.#chain = new Chain(links, log)
    this.#ends = ends
  }

  consult(asked: Asked, setting: Setting, known: Known, tell: (event: Event) => void): void {
    const { hello, transaction } = asked
    const facts = factsOf(hello, transaction, setting, known, this.#ends)
    if (asked.kind === 'admit') {
      const answered = this.#chain.data(facts, recipientsOf(transaction))
      return void answered.then((refusal) => tell({ kind: 'admitted', refusal }))
    }
    const { n, address } = asked
    void this.#chain.recipient(facts, address).then((refusal) => tell({ kind: 'consulted', n, refusal }))
  }

  examine(
    hello: Hello,
    transaction: Transaction,
    setting: Setting,
    known: Known,
    resume: () => void,
  ): Examination {
    const facts = factsOf(hello, transaction, setting, known, this.#ends)
    return new Examination(this.#chain, facts, recipientsOf(transaction), resume)
  }

  over(): void {
    this.#chain.over()
  }

  close(): void {
    this.#chain.close()
  }
}

function recipientsOf({ recipients }: Transaction): string[] {
  return [...new Set(recipients.map(({ address, original }) => original ?? address))]
}

/** `remote`: whose the port is. */
type SocketEnds = Ends & { remote: string }

function endsOf({
  remoteAddress = '',
  remotePort = 0,
  localAddress = '',
  localPort = 0,
}: Socket): SocketEnds {
  const [remote, serverAddress] = [plainAddress(remoteAddress), plainAddress(localAddress)]
  return { remote, clientPort: remotePort, serverAddress, serverPort: localPort }
}

/** What a trusted host has said of its client (XCLIENT) counts as if it were so. */
function factsOf(
  hello: Hello,
  transaction: Transaction,
  setting: Setting,
  { tls, login }: Known,
  { remote, ...ends }: SocketEnds,
): MessageFacts {
  const { hostname, listener, session, client, named, clientHelo } = setting
  const { sender, size, body, smtputf8, agreed } = transaction
  const { user, mechanism } = login?.setting ?? setting
  const id = formatId('T', transaction.id)
  const who = { client, named, helo: clientHelo ?? hello.name, user, mechanism, tls }
  // PROXY and XCLIENT tell of a client whose port is not that of the socket
  const own = { ...ends, clientPort: remote === client ? ends.clientPort : 0 }
  const protocol = setting.kind === 'lmtp' ? 'LMTP' : hello.extended ? 'ESMTP' : 'SMTP'
  return {
    hostname,
    listener,
    session,
    ...who,
    id,
    sender,
    size,
    body,
    smtputf8,
    agreed,
    protocol,
    ends: own,
  }
}
