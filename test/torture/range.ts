/**
 * Where torture takes place: a whole Posthorn that can be killed and started again on its spool, a sink, streams of
 * mail with books on another file system, and everything that arrived at the end.
 *
 * Mail to `never@relay.example` is refused by the sink for good, so that reports are made under torture as well; to
 * `grey@relay.example` every other time for now. Where it is asked for, as much mail comes through a listener that
 * cuts through: there a message for `never@` alone is refused to the client, and must be reported to nobody.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Load, startLoad } from '../support/load.ts'
import { readMaildir } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { type Books, memoryFolder, openBooks } from './ledger.ts'
import { judge, REPORT, type Stream, type Verdict } from './oracle.ts'

export interface RangeOptions {
  /** A directory to work in; absent: a new one. */
  directory?: string
  /** Statements inside `qmgr`. */
  qmgr?: string
  /** Streams through a listener that cuts through, besides the others. */
  cutThrough?: boolean
}

interface Lane {
  name: string
  to: string[]
  places: string[]
  listener: 'mx' | 'cut'
  sessions: number
  /** Now and then a message of it gets 250. */
  steady: boolean
  books: Books
}

const PATIENCE_MS = 180_000
const LARGE_EVERY = 40
const PLACES = { anna: 'anna@local.example', ben: 'ben@local.example' } as const
const FAR = 'far@relay.example'
const AWAY = 'away@relay.example'
const NEVER = 'never@relay.example'
const GREY = 'grey@relay.example'
/** Short enough that some messages are settled in time and some are not. */
const CUT =
  'listener "cut" { type mx; address 127.0.0.1; port 0; cut-through yes; cut-through-deadline 100ms; };'
const WRITER = 'bounces@local.example'

export class Range {
  posthorn: Posthorn
  readonly #options: RangeOptions
  readonly #sink: Sink
  readonly #folder: string
  readonly #lanes: Lane[]
  #loads: Load[] = []

  private constructor(options: RangeOptions, sink: Sink, posthorn: Posthorn) {
    this.#options = options
    this.#sink = sink
    this.posthorn = posthorn
    this.#folder = mkdtempSync(join(memoryFolder(), 'posthorn-books-'))
    this.#lanes = [
      this.#lane('local', [PLACES.anna], { sessions: 2 }),
      this.#lane('relayed', [FAR], { sessions: 2 }),
      this.#lane('both', [PLACES.ben, AWAY]),
      this.#lane('refused', [NEVER], { places: [`${REPORT}${NEVER}`] }),
      ...(options.cutThrough ? this.#cutLanes() : []),
    ]
  }

  #cutLanes(): Lane[] {
    const listener = 'cut'
    const report = `${REPORT}${NEVER}`
    return [
      this.#lane('cut local', [PLACES.ben], { listener }),
      this.#lane('cut several', [PLACES.anna, PLACES.ben, FAR, AWAY], { listener }),
      this.#lane('cut grey', [GREY, PLACES.anna], { listener }),
      this.#lane('cut some refused', [NEVER, FAR], { listener, places: [report, FAR] }),
      this.#lane('cut refused', [NEVER], { listener, places: [report], steady: false }),
    ]
  }

  #lane(name: string, to: string[], more: Partial<Lane> = {}): Lane {
    const usual = { name, to, places: to, listener: 'mx', sessions: 1, steady: true } as const
    return { ...usual, books: openBooks(join(this.#folder, name)), ...more }
  }

  static async open(options: RangeOptions = {}): Promise<Range> {
    let asked = 0
    const sink = await openSink((stage, argument) => {
      if (stage === 'rcpt' && argument === NEVER) return '550 5.1.1 never'
      return stage === 'rcpt' && argument === GREY && asked++ % 2 === 0 ? '451 4.7.1 come back' : null
    })
    try {
      return new Range(options, sink, await start(options, sink, options.directory))
    } catch (error) {
      await sink.close()
      throw error
    }
  }

  /** The whole of it again, on the same spool; the load goes on in the same books. */
  async restart(): Promise<void> {
    await this.stopLoad()
    this.posthorn = await start(this.#options, this.#sink, this.posthorn.paths.directory)
    this.startLoad()
  }

  startLoad(): void {
    this.#loads = this.#lanes.map(({ books, listener, sessions, to }) =>
      startLoad({
        target: this.posthorn.ports[listener] ?? 0,
        sessions,
        octets: (n) => (n % LARGE_EVERY === LARGE_EVERY - 1 ? 300_000 : 2000),
        from: WRITER,
        to: () => to,
        pauseMs: 4,
        ledger: books.ledger,
      }),
    )
  }

  async stopLoad(): Promise<void> {
    await Promise.all(this.#loads.map((load) => load.stop()))
    this.#loads = []
  }

  /** The service works: every steady stream has got so many more promises. */
  async progressed(more: number): Promise<void> {
    const steady = this.#loads.filter((_load, at) => this.#lanes[at]?.steady)
    await Promise.all(steady.map((load) => load.progressed(more)))
  }

  /** How often clients heard something besides 250. */
  refusals(): number {
    const counts = this.#lanes.flatMap(({ books }) => [...books.ledger.troubles.values()])
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** What they heard then. */
  troubles(): string[] {
    return [...new Set(this.#lanes.flatMap(({ books }) => [...books.ledger.troubles.keys()]))]
  }

  /** Marks of mail that was sent whole, and for which nobody promised anything. */
  doubtful(): Set<string> {
    return new Set(this.#lanes.flatMap(({ books }) => [...books.ledger.doubtful]))
  }

  /** Marks of everything that has arrived, wherever. */
  arrived(): Set<string | null> {
    return new Set([...this.#mail().values()].flat())
  }

  /** Stops the load, lets the queue run empty, and compares. */
  async settle(): Promise<Verdict> {
    await this.stopLoad()
    await this.posthorn.queueEmpty(PATIENCE_MS)
    const streams = this.#lanes.map(
      ({ name, books, places }): Stream => ({
        name,
        promised: books.promised(),
        ledger: books.ledger,
        places,
      }),
    )
    const reports = readMaildir(this.posthorn.maildir('bounces')).map(({ content }) => content)
    return judge(streams, { mail: this.#mail(), reports })
  }

  #mail(): Map<string, (string | null)[]> {
    const mail = new Map<string, (string | null)[]>()
    for (const [user, address] of Object.entries(PLACES)) {
      mail.set(
        address,
        readMaildir(this.posthorn.maildir(user)).map(({ content }) => readSpecimen(content)),
      )
    }
    for (const address of [FAR, AWAY, NEVER, GREY]) {
      const here = this.#sink.mails.filter(({ to }) => to.includes(address))
      mail.set(
        address,
        here.map(({ content }) => readSpecimen(content)),
      )
    }
    return mail
  }

  /** @param keep the directory stays, for whoever made it. */
  async close(keep = false): Promise<void> {
    await this.stopLoad()
    await this.posthorn.stop(keep)
    await this.#sink.close()
    for (const { books } of this.#lanes) books.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function start(options: RangeOptions, sink: Sink, directory: string | undefined): Promise<Posthorn> {
  return startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        relayPort: sink.port,
        severity: 'warn',
        qmgr: options.qmgr ?? 'retry 200ms;',
        more: options.cutThrough ? CUT : '',
        processes: 'restart-budget 1000; restart-window 1s; restart-delay 20ms; restart-delay-limit 50ms;',
      }),
    users: ['anna', 'ben', 'bounces'],
    ...(directory !== undefined && { directory }),
  })
}
