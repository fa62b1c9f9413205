/**
 * One delivery attempt, from qmgr's request to its answer: find a connection, run the transaction, report.
 *
 * A kept connection to the destination is used when there is one. When it proves stale, or there is none, the
 * hosts of the route are tried in order until one gives a session (`hosts.ts`); from then on what happens in
 * the transaction is the outcome. Ends exactly once, by `report`.
 */
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { Host } from '../../shared/message/route.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import type { Place } from './company.ts'
import type { Connection } from './connection.ts'
import { type Content, ContentStream } from './content.ts'
import { Dial, type Dialled } from './dial.ts'
import { firstHost, orderTargets, type Target, whenAllFailed } from './hosts.ts'
import type { Tenant } from './job.ts'
import { type Login, loginFor, staysHere } from './login.ts'
import type { Pool } from './pool.ts'
import { prefersIPv6 } from './race.ts'
import { hasSource, NO_SOURCE } from './source.ts'
import { keyOf, type Policy, rulingFor, type SmtpRoute, type Wanted, wantedBy } from './tls-policy.ts'
import { type Way, wayFor } from './way.ts'

/** Never seen: targets are made of the route's hosts. */
const NO_HOST = own(451, '4.4.4', 'the route has no such host')

export type Report = Answer<'deliver'>

/** Who asked for it. */
export interface Client {
  report: (report: Report) => void
  dial: (progress: Payload<'deliver-dial'>) => void
}

export class Attempt implements Tenant {
  readonly content: Content
  readonly #delivery: Payload<'deliver'>
  readonly #route: SmtpRoute
  readonly #pool: Pool
  readonly #way: Way
  readonly #login: Login | null
  readonly #wanted: Wanted
  readonly #key: string
  readonly #client: Client
  #targets: Target[] = []
  #failures: Reply[] = []
  #dial: Dial | null = null
  /** The reservation of the connection that is being dialled. */
  #place: Place | null = null
  #connection: Connection | null = null
  #at: { host: string; address: string; tls: string } = { host: '', address: '', tls: '' }
  /** For the log: what was demanded of TLS, and how it was met. */
  policy = ''
  #over = false

  constructor(delivery: Payload<'deliver'>, route: SmtpRoute, content: Content, pool: Pool, client: Client) {
    this.#delivery = delivery
    this.#route = route
    this.content = content
    this.#pool = pool
    this.#way = wayFor(pool.slice.ways, speakerFor(route), delivery.terms)
    const logins = route.relay === undefined ? undefined : pool.slice.logins[route.relay]
    this.#login = logins === undefined ? null : loginFor(logins, delivery.sender)
    this.#wanted = wantedBy(delivery)
    const key = keyOf(this.#way, route, this.#wanted)
    this.#key = this.#login ? `${key} login ${JSON.stringify(this.#login)}` : key
    this.#client = client
  }

  start(): void {
    const kept = this.#pool.take(this.#key, this.#route.hosts)
    if (kept) this.#run(kept)
    else this.#dialFirst()
  }

  /** Nobody wants it any more: stops it unless the final dot is out. */
  cancel(reply: Reply): void {
    if (this.#over) return
    if (this.#connection) return void this.#connection.interrupt(this, reply)
    this.#dial?.cancel()
    this.#free()
    this.#settleAll({ kind: 'later', reply, blame: 'ours' })
  }

  onSettled(outcomes: Outcome[]): void {
    if (this.#over) return
    this.#over = true
    if (this.content instanceof ContentStream) this.content.release()
    const { recipients } = this.#delivery
    this.#client.report({
      outcomes: outcomes.flatMap((outcome, at) => {
        const recipient = recipients[at]
        return recipient ? [{ n: recipient.n, outcome }] : []
      }),
      ...this.#at,
    })
  }

  onStale(): void {
    this.#connection = null
    if (!this.#over) this.#dialFirst()
  }

  get #lmtp(): boolean {
    return this.#route.protocol === 'lmtp'
  }

  #run(connection: Connection): void {
    this.#connection = connection
    connection.terms = this.#delivery.terms
    const { target, tls } = connection
    this.policy = connection.policy
    this.#at = { host: target.name, address: target.address, tls }
    const { eightBit } = this.#pool.slice
    const job = { delivery: this.#delivery, content: this.content, tenant: this, eightBit }
    if (connection.mayQueue) connection.queue(job)
    else connection.run(job, this.#pool.slice.timeouts)
  }

  #dialFirst(): void {
    this.#client.dial({ attempt: this.#delivery.attempt })
    const source = this.#way.proxy ? null : this.#way.source
    const all = orderTargets(this.#route.hosts, Math.random, prefersIPv6)
    this.#targets = all.filter((target) => hasSource(source, target))
    if (this.#targets.length === 0 && all.length > 0) this.#failures.push(NO_SOURCE)
    this.#dialNext()
  }

  #dialNext(): void {
    const raced = firstHost(this.#targets)
    const [target] = raced
    if (!target) return this.#settleAll(whenAllFailed(this.#failures))
    this.#at = { host: target.name, address: target.address, tls: '' }
    this.#targets.splice(0, raced.length)
    this.policy = ''
    const host = this.#route.hosts.find(({ name, port }) => name === target.name && port === target.port)
    const login = this.#login !== null && !raced.every(staysHere)
    const ruling = host && rulingFor(this.#way, this.#route, host, { ...this.#wanted, login })
    if (!host || !ruling) return this.#failed(NO_HOST)
    if (ruling.kind === 'unfit') {
      this.#pool.counts.unfit(this.#delivery, this.#route, this.#way, host, ruling.why)
      return this.#failed(ruling.reply)
    }
    this.policy = ruling.policy.name
    this.#dial = this.#dialTo(raced, host, ruling.policy)
  }

  #dialTo(raced: readonly Target[], host: Host, policy: Policy): Dial {
    const { slice, tickets } = this.#pool
    this.#place = this.#pool.reserve(this.#delivery.terms)
    const key = `${host.name} ${host.port} ${JSON.stringify(policy)} ${this.#way.key}`
    return new Dial(
      raced,
      slice,
      {
        lmtp: this.#lmtp,
        requireTls: this.#wanted.requireTls,
        policy,
        tickets: { store: tickets, key },
        login: this.#login,
        way: this.#way,
      },
      (dialled) => {
        this.#pool.counts.dialled(this.#delivery, this.#route, this.#way, host, policy, dialled)
        this.#dialled(dialled)
      },
    )
  }

  #dialled(dialled: Dialled): void {
    this.#dial = null
    this.#free()
    if (dialled.kind === 'up') {
      // It leaves with this turn of the loop; the dot waits for replies to what is sent now, so for the next turn.
      this.#client.dial({ attempt: this.#delivery.attempt, begun: true })
      return this.#run(this.#pool.adopt(this.#key, dialled.session, this.#lmtp, this.#delivery.terms))
    }
    this.#targets.unshift(...dialled.rest)
    this.#failed(dialled.reply)
  }

  /** The next host may do. */
  #failed(reply: Reply): void {
    this.#failures.push(reply)
    this.#dialNext()
  }

  /** Before the connection itself is counted, or because there will be none. */
  #free(): void {
    this.#place?.free()
    this.#place = null
  }

  #settleAll(outcome: Outcome): void {
    this.onSettled(this.#delivery.recipients.map(() => outcome))
  }
}

/** Whose word on the way counts: the `relay` section's in the place of the zone's. No name of a zone has a blank. */
function speakerFor({ relay, zone }: SmtpRoute): string {
  return relay === undefined ? zone : `relay ${relay}`
}
