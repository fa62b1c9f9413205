/**
 * The parts of qmgr and who calls whom: each is made once, knows only what is handed to it here, and calls the
 * others through the functions it is given. What outlives a reload of the config is here; the slice in force is
 * asked for at every use.
 *
 * Next: `qmgr.ts`, which opens the doors once the past is in order.
 */
import { join } from 'node:path'
import type { IdSource } from '../../shared/base/ids.ts'
import { type Link, openLink } from '../../shared/bus/link.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import type { Credentials, Handlers, Peer } from '../../shared/bus/peer.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import type { Context } from '../../shared/runtime/service.ts'
import { ActiveQueue } from './active-queue.ts'
import { ContentFiles } from './content-files.ts'
import { Control } from './control.ts'
import { Courier } from './courier.ts'
import { Disposal } from './disposal.ts'
import { DueLoader } from './due.ts'
import { destinationOf, type Entry, type Slot } from './entry.ts'
import { Forwards } from './forwards.ts'
import { Intake } from './intake.ts'
import { Journal } from './journal.ts'
import { Lists } from './lists.ts'
import { LoadControl } from './load-control.ts'
import { Reports } from './reports.ts'
import { classOf, policyFor } from './retry-policy.ts'
import { ourReply, Router } from './router.ts'
import { Scheduler } from './scheduler.ts'
import { Signatures } from './signatures.ts'
import type { StorePort } from './store-port.ts'
import { Suspensions } from './suspensions.ts'
import { tasksOf } from './tasks.ts'
import { TermsTable } from './terms.ts'
import { UserAgents } from './user-agents.ts'
import { keyOf, Workers } from './workers.ts'

export interface Foundation {
  context: Context<'qmgr'>
  /** The config in force. */
  slice: () => QmgrSlice
  port: StorePort
  ids: IdSource
  /** smtpd processes, to be told of load. */
  peers: () => Iterable<Peer>
}

const now = Date.now
/** In `posthorn status`, of each kind. */
const MOST_NAMED = 100

export class Assembly {
  readonly journal: Journal
  readonly files: ContentFiles
  readonly queue: ActiveQueue
  readonly workers: Workers
  readonly courier: Courier
  readonly due: DueLoader
  readonly disposal: Disposal
  readonly load: LoadControl
  readonly intake: Intake
  readonly resolver: Link
  readonly #foundation: Foundation
  readonly #terms: TermsTable
  readonly #userAgents: UserAgents
  readonly #suspensions: Suspensions
  readonly #scheduler: Scheduler
  readonly #reports: Reports
  readonly #signatures: Signatures
  readonly #router: Router
  readonly #control: Control

  constructor(foundation: Foundation) {
    this.#foundation = foundation
    const { context, slice, port, ids } = foundation
    const { log } = context
    this.journal = new Journal(port, log, (health) => this.load.storeChanged(health))
    this.load = this.#makeLoad()
    this.files = new ContentFiles(slice().spool, slice().activeOctets)
    this.#terms = new TermsTable(slice)
    this.#userAgents = new UserAgents({ slice, now })
    this.#suspensions = new Suspensions(join(slice().spool, 'suspended.json'), log, now())
    this.#scheduler = new Scheduler((route) => this.#terms.of(route), this.#suspensions)
    this.#signatures = new Signatures({ slice, peers: foundation.peers, log })
    const sign = (content: Buffer) => this.#signatures.signed(content)
    this.#reports = new Reports({ policy: slice, ids, log, now, read: this.#read, sign })
    this.queue = this.#makeQueue()
    this.resolver = this.#dialResolver()
    this.#router = this.#makeRouter()
    this.workers = this.#makeWorkers()
    this.courier = this.#makeCourier()
    this.due = this.#makeDue()
    this.disposal = this.#makeDisposal()
    this.intake = this.#makeIntake()
    this.#control = this.#makeControl()
  }

  get handlers(): Handlers {
    const { intake, courier, load } = this
    const control = this.#control
    return {
      'session-open': (payload, peer) => load.sessions.open(payload, peer),
      'session-close': (payload) => load.sessions.close(payload),
      'login-try': (payload) => load.tryLogin(payload),
      'login-over': (payload) => load.loginOver(payload),
      'content-chunk': (payload, peer) => intake.chunk(payload, peer),
      'content-abort': (payload) => intake.abort(payload),
      'content-credit': (payload) => courier.credit(payload),
      'deliver-dial': (payload) => courier.dial(payload),
      submit: (payload) => intake.submit(payload),
      sign: (payload) => this.#signatures.pass(payload),
      'tls-counts': (payload) => this.resolver.send('tls-counts', payload),
      'queue-list': (payload, peer) => control.list(payload, peer),
      'queue-show': (payload, peer) => control.show(payload, peer),
      'queue-act': (payload, peer) => control.act(payload, peer),
      'queue-status': () => this.#status(),
    }
  }

  /** Another slice is in force. */
  reconfigured(): void {
    this.load.reconfigured()
    this.#scheduler.reconfigured(now())
    this.courier.pumpAll()
  }

  figures(): Record<string, number> {
    return {
      active: this.queue.entries.size,
      running: this.courier.running,
      sessions: this.load.sessions.total,
      accepted: this.intake.accepted,
      delivered: this.queue.delivered,
      batches: this.journal.batches,
      longestCommitMs: this.journal.longestCommitMs,
      ...this.workers.figures(),
    }
  }

  #makeQueue(): ActiveQueue {
    const { context, slice } = this.#foundation
    return new ActiveQueue({
      policy: slice,
      retryPolicy: (route, outcome) => policyFor(slice(), (one) => this.#terms.of(one), route, outcome),
      journal: this.journal,
      reports: this.#reports,
      backlog: this.load.backlog,
      log: context.log,
      now,
      random: Math.random,
      route: (entry, slots) => this.#router.route(entry, slots),
      onWait: (at) => this.due.expect(at),
      dropFile: (id) => void this.#dropFile(id),
    })
  }

  #dialResolver(): Link {
    const { buses, identity, log } = this.#foundation.context
    return openLink({ target: buses.resolver, remote: 'resolver', identity, handlers: {}, log })
  }

  #makeRouter(): Router {
    return new Router({
      resolve: (asked) => this.resolver.request('resolve', asked),
      insteadOf: (route, entry) =>
        this.#userAgents.insteadOf(route, entry) ?? this.#scheduler.detour(route, now()),
      onRouted: (entry, slots) => this.#schedule(entry, slots),
      queue: () => this.queue,
      journal: this.journal,
      reports: this.#reports,
      lists: this.#makeLists(),
      log: this.#foundation.context.log,
    })
  }

  #makeLists(): Lists {
    return new Lists({
      ...this.#forOffspring(),
      expand: (question) => this.resolver.request('expand', question),
      linkContent: (from, to) => this.files.link(from, to),
    })
  }

  /** What messages are made with that take the place of a recipient. */
  #forOffspring() {
    const { context, ids } = this.#foundation
    return { queue: () => this.queue, reports: this.#reports, read: this.#read, ids, log: context.log }
  }

  #schedule(entry: Entry, slots: Slot[]): void {
    for (const slot of slots) this.load.backlog.move(slot, destinationOf(slot))
    const keys = new Set<string>()
    for (const task of tasksOf(entry, slots, (route) => this.#terms.of(route).recipients)) {
      this.#scheduler.add(task, now())
      keys.add(task.route.destination)
    }
    for (const key of keys) this.courier.pump(key)
  }

  #makeWorkers(): Workers {
    const { context, slice } = this.#foundation
    return new Workers({
      ldaLimit: slice().ldaLimit,
      askForLda: (wanted) => context.tellMcp('lda-wanted', { wanted }),
      onChange: () => this.courier.pumpAll(),
      onRefused: (wanted, reason, final) => {
        const { kind, uid } = wanted
        if (kind === 'agent' && final) this.courier.refuseAgent(uid)
        else this.courier.refuseLda(keyOf(wanted), ourReply(`no delivery process for uid ${uid}: ${reason}`))
      },
      log: context.log,
      now,
    })
  }

  #makeCourier(): Courier {
    const { context, ids, port, slice } = this.#foundation
    return new Courier({
      scheduler: this.#scheduler,
      workers: this.workers,
      userAgents: this.#userAgents,
      forwards: new Forwards({
        ...this.#forOffspring(),
        copyContent: (from, size, top, to) => this.files.copy(from, size, top, to),
      }),
      queue: () => this.queue,
      files: this.files,
      ids,
      log: context.log,
      now,
      classOf: (route, outcome) => classOf(slice().retryClasses, route, outcome),
      load: async (id) => (await port.call('load', id))?.content ?? null,
    })
  }

  #makeDue(): DueLoader {
    const { context, port } = this.#foundation
    const { journal, queue, load } = this
    return new DueLoader({ port, journal, queue, spill: load.spill, log: context.log, now })
  }

  #makeLoad(): LoadControl {
    const { context, slice, port, peers } = this.#foundation
    return new LoadControl({
      slice,
      queue: () => this.queue,
      journal: this.journal,
      port,
      accepted: () => this.intake.accepted,
      peers,
      log: context.log,
      now,
    })
  }

  #makeIntake(): Intake {
    const { context, slice } = this.#foundation
    return new Intake({
      journal: this.journal,
      files: this.files,
      queue: this.queue,
      reports: this.#reports,
      load: () => this.load.watch.current,
      charge: (envelope) => this.load.sessions.charge(envelope),
      backlog: this.load.backlog,
      spill: this.load.spill,
      limits: slice,
      log: context.log,
      onStored: (due) => this.due.expect(due),
    })
  }

  #makeDisposal(): Disposal {
    const { context, slice, port } = this.#foundation
    return new Disposal({
      backlog: this.load.backlog,
      port,
      journal: this.journal,
      queue: this.queue,
      files: this.files,
      removedKeep: () => slice().removedKeep,
      log: context.log,
      now,
    })
  }

  #makeControl(): Control {
    const { context, slice, port } = this.#foundation
    return new Control({
      backlog: this.load.backlog,
      port,
      journal: this.journal,
      queue: this.queue,
      disposal: this.disposal,
      isAdministrator: (who) => isAdministrator(who, slice()),
      nameOf: (uid) => slice().controlNames[String(uid)] ?? null,
      onHurry: (destinations) => {
        this.#scheduler.revive(destinations)
        this.due.look()
      },
      readHeader: async ({ id, content, size }) => content ?? (await this.#read(id, size)),
      log: context.log,
      now,
    })
  }

  async #status(): Promise<Answer<'queue-status'>> {
    const { deferred, held, removed } = await this.#foundation.port.call('totals')
    const { queue, intake, load } = this
    return {
      active: queue.entries.size,
      deferred,
      held,
      removed,
      octets: queue.octets,
      accepted: intake.accepted,
      delivered: queue.delivered,
      ...load.status(),
      suspended: this.#suspended(),
      dead: this.#scheduler.dead(now(), MOST_NAMED),
    }
  }

  #suspended(): Answer<'queue-status'>['suspended'] {
    const classes = this.#foundation.slice().retryClasses
    return this.#suspensions
      .all(now())
      .slice(0, MOST_NAMED)
      .map(({ group, suspension: { until, retryClass, reply } }) => {
        const hint = classes.find(({ name }) => name === retryClass)?.hint ?? null
        return { group, until, retryClass, reply, ...(hint !== null && { hint }) }
      })
  }

  /** Content that is not in memory: all of it, or at least so many octets. */
  #read = async (id: number, size: number, octets?: number): Promise<Uint8Array> =>
    (await this.#foundation.port.call('load', id))?.content ?? (await this.files.readHead(id, size, octets))

  /** A last look before content is deleted: a row that still names it would have been a bug of ours. */
  async #dropFile(id: number): Promise<void> {
    if ((await this.#foundation.port.call('load', id)) === null) await this.files.remove(id)
  }
}

function isAdministrator(who: Credentials | null, slice: QmgrSlice): boolean {
  if (!who) return false
  return who.uid === 0 || who.uid === process.getuid?.() || slice.controlUids.includes(who.uid)
}
