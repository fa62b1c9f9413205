/** The supervisor's decisions, without a process: order, restarts, heartbeats, retirement, drain. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { initialWorkers, partOf, smtpdNames } from '../../services/mcp/roles.ts'
import type { Effect, Event, Rules, Supervision } from '../../services/mcp/supervision.ts'
import { initialSupervision, nextTick, supervise } from '../../services/mcp/supervisor.ts'

const RULES: Rules = {
  restart: { budget: 3, window: 60_000, firstDelay: 100, longestDelay: 300 },
  heartbeat: { interval: 1000, patience: 4000 },
  drainTimeout: 10_000,
}

/** Feeds events and remembers; time passes only when told to. */
class Play {
  state: Supervision
  now = 0
  effects: Effect[] = []

  constructor(rules: Rules = RULES) {
    this.state = initialSupervision(rules, 0)
  }

  feed(event: Event): Effect[] {
    const { state, effects } = supervise(this.state, event, this.now)
    this.state = state
    this.effects.push(...effects)
    return effects
  }

  begin(smtpdProcesses = 2): Effect[] {
    const mcp = { smtpdProcesses, submissionProcesses: 1, web: [] }
    const counts = { mcp, smtpd: { listeners: ['mx'] }, submission: { listeners: [], dkim: [] } }
    return this.feed({ kind: 'add', workers: initialWorkers(counts) })
  }

  beginReady(): void {
    this.begin()
    for (const name of ['qmgr', 'resolver', 'smtpc', 'smtpd-1', 'smtpd-2']) this.ready(name)
    this.effects = []
  }

  life(name: string): number {
    return this.state.workers.get(name)?.life ?? 0
  }

  ready(name: string): Effect[] {
    return this.feed({ kind: 'ready', name, life: this.life(name) })
  }

  pong(name: string): Effect[] {
    return this.feed({ kind: 'pong', name, life: this.life(name) })
  }

  exit(name: string, how = 'exit 70', clean = false): Effect[] {
    return this.feed({ kind: 'exited', name, life: this.life(name), how, clean })
  }

  /** Lets time pass tick by tick, as the shell's timer would. */
  pass(milliseconds: number, answering: readonly string[] | 'all' = 'all'): void {
    const end = this.now + milliseconds
    while (this.now < end) {
      this.now = Math.min(end, Math.max(nextTick(this.state), this.now + 1))
      const effects = this.feed({ kind: 'tick' })
      for (const effect of effects)
        if (effect.kind === 'ping' && (answering === 'all' || answering.includes(effect.name)))
          this.pong(effect.name)
    }
  }

  phase(name: string): string {
    return this.state.workers.get(name)?.phase.kind ?? 'gone'
  }
}

function named(effects: readonly Effect[], kind: Effect['kind']): string[] {
  return effects.flatMap((effect) => (effect.kind === kind && 'name' in effect ? [effect.name] : []))
}

test('all are forked at once, and told to begin in order', () => {
  const play = new Play()
  const begun = play.begin()
  assert.deepEqual(named(begun, 'fork'), ['qmgr', 'resolver', 'smtpc', 'smtpd-1', 'smtpd-2'])
  assert.deepEqual(named(begun, 'configure'), ['qmgr', 'resolver'])
  assert.deepEqual(named(play.ready('qmgr'), 'configure'), ['smtpc'])
  assert.deepEqual(named(play.ready('smtpc'), 'configure'), [], 'smtpd waits for the resolver, too')
  assert.deepEqual(named(play.ready('resolver'), 'configure'), ['smtpd-1', 'smtpd-2'])
  play.ready('smtpd-1')
  assert.deepEqual(
    play.ready('smtpd-2').filter(({ kind }) => kind === 'settled'),
    [{ kind: 'settled', givenUp: [] }],
  )
})

test('a crash is followed by a restart after a wait that doubles up to its limit', () => {
  const play = new Play({ ...RULES, restart: { ...RULES.restart, budget: 10 } })
  play.beginReady()
  const waits: number[] = []
  for (let n = 0; n < 4; n++) {
    const before = play.now
    play.exit('smtpc')
    assert.equal(play.phase('smtpc'), 'backing-off')
    while (play.phase('smtpc') === 'backing-off') play.pass(1)
    waits.push(play.now - before)
    assert.equal(play.phase('smtpc'), 'starting', 'a restarted worker waits for nobody')
    play.ready('smtpc')
  }
  assert.deepEqual(waits, [100, 200, 300, 300])
  assert.equal(play.state.workers.get('smtpc')?.restarts, 4)
  assert.equal(play.state.workers.get('smtpc')?.lastExit, 'exit 70')
})

test('past its budget a worker is given up and the rest run on', () => {
  const play = new Play()
  play.beginReady()
  for (let n = 0; n < 3; n++) {
    play.exit('smtpc')
    play.pass(300)
    play.ready('smtpc')
  }
  const last = play.exit('smtpc')
  assert.equal(play.phase('smtpc'), 'given-up')
  assert.ok(last.some((effect) => effect.kind === 'report' && effect.event === 'worker given up'))
  play.effects = []
  play.pass(120_000)
  assert.deepEqual(named(play.effects, 'fork'), [])
  assert.equal(play.phase('qmgr'), 'ready')
  assert.deepEqual(named(play.feed({ kind: 'revive' }), 'fork'), ['smtpc'], 'a reload tries again')
})

test('crashes long ago are forgiven', () => {
  const play = new Play()
  play.beginReady()
  for (let n = 0; n < 20; n++) {
    play.exit('smtpd-1')
    play.pass(RULES.restart.window / 2)
    assert.equal(play.phase('smtpd-1'), 'starting')
    play.ready('smtpd-1')
  }
})

test('a dependency that is given up at the start does not keep the others from beginning', () => {
  const play = new Play({ ...RULES, restart: { ...RULES.restart, budget: 0 } })
  play.begin()
  play.ready('qmgr')
  play.ready('smtpc')
  assert.deepEqual(named(play.exit('resolver'), 'configure'), ['smtpd-1', 'smtpd-2'])
  play.ready('smtpd-1')
  const effects = play.ready('smtpd-2')
  assert.deepEqual(
    effects.filter(({ kind }) => kind === 'settled'),
    [{ kind: 'settled', givenUp: ['resolver'] }],
  )
})

test('a worker that stops answering is killed once, and starts again', () => {
  const play = new Play()
  play.beginReady()
  play.pass(60_000)
  assert.deepEqual(named(play.effects, 'kill'), [])
  play.effects = []
  play.pass(10_000, ['qmgr', 'resolver', 'smtpc', 'smtpd-1'])
  assert.deepEqual(named(play.effects, 'kill'), ['smtpd-2'])
  const effects = play.exit('smtpd-2', 'killed by SIGKILL')
  assert.ok(JSON.stringify(effects).includes('does not answer'), 'the log says why')
  assert.equal(play.phase('smtpd-2'), 'backing-off')
})

test('a silent worker is found within patience and one interval', () => {
  const play = new Play()
  play.beginReady()
  play.pass(5000)
  const since = play.now
  play.effects = []
  while (named(play.effects, 'kill').length === 0) play.pass(10, ['qmgr', 'resolver', 'smtpc', 'smtpd-1'])
  assert.ok(play.now - since <= RULES.heartbeat.patience + RULES.heartbeat.interval)
})

test('nobody is killed because mcp itself was stopped', () => {
  const play = new Play()
  play.beginReady()
  play.pass(5000)
  play.now += 1_000_000
  play.feed({ kind: 'tick' })
  assert.deepEqual(named(play.effects, 'kill'), [])
  play.effects = []
  play.pass(10_000, [])
  assert.equal(named(play.effects, 'kill').length, 5, 'but patience goes on from there')
})

test('a worker that starts has more time, for it may have much to read', () => {
  const play = new Play()
  play.begin()
  play.pass(RULES.heartbeat.patience * 3, [])
  assert.deepEqual(named(play.effects, 'kill'), [])
  play.pass(RULES.heartbeat.patience * 6, [])
  assert.ok(named(play.effects, 'kill').includes('qmgr'))
})

test('news of an earlier life change nothing', () => {
  const play = new Play()
  play.beginReady()
  play.exit('qmgr')
  play.pass(100)
  assert.equal(play.phase('qmgr'), 'starting')
  play.feed({ kind: 'ready', name: 'qmgr', life: 1 })
  assert.equal(play.phase('qmgr'), 'starting')
  assert.deepEqual(play.feed({ kind: 'exited', name: 'qmgr', life: 1, how: 'exit 0', clean: true }), [])
  assert.deepEqual(play.feed({ kind: 'ready', name: 'nobody', life: 1 }), [])
})

test('an lda comes and goes without a restart', () => {
  const play = new Play()
  play.beginReady()
  play.feed({ kind: 'add', workers: [{ name: 'lda-1000', role: 'lda' }] })
  play.ready('lda-1000')
  const effects = play.exit('lda-1000', 'exit 0', true)
  assert.deepEqual(effects, [{ kind: 'forget', name: 'lda-1000' }])
  play.feed({ kind: 'add', workers: [{ name: 'lda-1000', role: 'lda' }] })
  assert.ok(play.exit('lda-1000').some(({ kind }) => kind === 'report'))
  assert.equal(play.phase('lda-1000'), 'gone')
})

test('a drain goes stage by stage and ends when the last has left', () => {
  const play = new Play()
  play.beginReady()
  play.feed({ kind: 'add', workers: [{ name: 'lda-1000', role: 'lda' }] })
  play.ready('lda-1000')
  assert.deepEqual(named(play.feed({ kind: 'drain' }), 'drain'), ['smtpd-1', 'smtpd-2'])
  assert.deepEqual(named(play.exit('smtpd-1', 'exit 0', true), 'drain'), [])
  assert.deepEqual(named(play.exit('smtpd-2', 'exit 0', true), 'drain'), ['qmgr'])
  assert.deepEqual(named(play.exit('qmgr', 'exit 0', true), 'drain'), ['smtpc', 'lda-1000'])
  play.exit('lda-1000', 'exit 0', true)
  assert.deepEqual(named(play.exit('smtpc', 'exit 0', true), 'drain'), ['resolver'])
  const end = play.exit('resolver', 'exit 0', true)
  assert.deepEqual(end.at(-1), { kind: 'finished' })
  assert.equal(
    play.effects.filter((effect) => effect.kind === 'report' && effect.severity === 'error').length,
    0,
  )
})

test('in a drain each stage has its part of the time, then it is killed', () => {
  const play = new Play()
  play.beginReady()
  play.feed({ kind: 'drain' })
  play.pass(4900)
  assert.deepEqual(named(play.effects, 'kill'), [])
  play.pass(200)
  assert.deepEqual(named(play.effects, 'kill'), ['smtpd-1', 'smtpd-2'])
  play.exit('smtpd-1', 'killed by SIGKILL')
  play.exit('smtpd-2', 'killed by SIGKILL')
  assert.equal(play.phase('qmgr'), 'draining', 'the rest still leaves in peace')
})

test('a drain waits for nobody who is down, and a second one kills the rest', () => {
  const play = new Play({ ...RULES, restart: { ...RULES.restart, budget: 0 } })
  play.beginReady()
  play.exit('smtpc')
  play.feed({ kind: 'drain' })
  assert.equal(play.phase('smtpc'), 'gone')
  assert.deepEqual(named(play.feed({ kind: 'hurry' }), 'kill'), ['qmgr', 'resolver', 'smtpd-1', 'smtpd-2'])
  for (const name of ['qmgr', 'resolver', 'smtpd-1', 'smtpd-2']) play.exit(name, 'killed by SIGKILL')
  assert.equal(play.state.mode.kind, 'finished')
})

test('the old smtpd drain when all of the new are ready, not before', () => {
  const play = new Play()
  play.beginReady()
  const names = ['smtpd-3', 'smtpd-4']
  const replaced = play.feed({ kind: 'replace', role: 'smtpd', names })
  assert.deepEqual(named(replaced, 'fork'), names)
  assert.deepEqual(named(play.ready('smtpd-3'), 'drain'), [])
  assert.deepEqual(named(play.ready('smtpd-4'), 'drain'), ['smtpd-1', 'smtpd-2'])
  play.exit('smtpd-1', 'exit 0', true)
  assert.equal(play.phase('smtpd-1'), 'gone')
  play.pass(RULES.drainTimeout + 1)
  assert.deepEqual(named(play.effects, 'kill'), ['smtpd-2'], 'retirement has an end, too')
  play.exit('smtpd-2', 'killed by SIGKILL')
  assert.deepEqual([...play.state.workers.keys()], ['qmgr', 'resolver', 'smtpc', ...names])
})

test('when the new smtpd cannot stay up the old ones go on', () => {
  const play = new Play({ ...RULES, restart: { ...RULES.restart, budget: 0 } })
  play.beginReady()
  play.feed({ kind: 'replace', role: 'smtpd', names: ['smtpd-3'] })
  play.exit('smtpd-3')
  assert.equal(play.phase('smtpd-3'), 'given-up')
  assert.equal(play.phase('smtpd-1'), 'ready')
  play.feed({ kind: 'replace', role: 'smtpd', names: ['smtpd-4'] })
  assert.equal(play.phase('smtpd-3'), 'gone')
  assert.deepEqual(named(play.ready('smtpd-4'), 'drain'), ['smtpd-1', 'smtpd-2'])
})

test('whatever happens in whatever order: one process per worker, and a drain always ends', () => {
  const name = fc.constantFrom('qmgr', 'resolver', 'smtpc', 'smtpd-1', 'smtpd-3', 'lda-1')
  const deed = fc.oneof(
    fc.record({ deed: fc.constant('ready' as const), name }),
    fc.record({ deed: fc.constant('exit' as const), name, clean: fc.boolean() }),
    fc.record({ deed: fc.constant('pass' as const), time: fc.integer({ min: 1, max: 20_000 }) }),
    fc.record({ deed: fc.constant('replace' as const) }),
    fc.record({ deed: fc.constant('lda' as const) }),
    fc.record({ deed: fc.constant('revive' as const) }),
  )
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 60 }), (deeds) => {
      const play = new Play()
      const alive = new Set<string>()
      const follow = () => {
        for (const effect of play.effects.splice(0)) {
          if (effect.kind !== 'fork') continue
          assert.ok(!alive.has(effect.name), `${effect.name} forked beside itself`)
          alive.add(effect.name)
        }
      }
      const leave = (one: string, clean: boolean) => {
        if (!alive.delete(one)) return
        play.exit(one, clean ? 'exit 0' : 'exit 70', clean)
        follow()
      }
      play.begin(1)
      follow()
      for (const one of deeds) {
        if (one.deed === 'ready' && alive.has(one.name)) play.ready(one.name)
        if (one.deed === 'exit') leave(one.name, one.clean)
        if (one.deed === 'pass') play.pass(one.time, [])
        if (one.deed === 'replace') play.feed({ kind: 'replace', role: 'smtpd', names: ['smtpd-3'] })
        if (one.deed === 'lda') play.feed({ kind: 'add', workers: [{ name: 'lda-1', role: 'lda' }] })
        if (one.deed === 'revive') play.feed({ kind: 'revive' })
        follow()
      }
      play.feed({ kind: 'drain' })
      follow()
      play.feed({ kind: 'hurry' })
      for (const one of [...alive]) leave(one, false)
      assert.equal(play.state.mode.kind, 'finished')
    }),
  )
})

test('strangers and users are served by processes of their own', () => {
  const mcp = { smtpdProcesses: 2, submissionProcesses: 1, web: [] }
  const of = (strangers: string[], users: string[], dkim: string[] = []) =>
    smtpdNames(3, { mcp, smtpd: { listeners: strangers }, submission: { listeners: users, dkim } })
  assert.deepEqual(of(['mx'], ['local']), ['smtpd-3', 'smtpd-4', 'submission-3'])
  assert.deepEqual(of(['mx'], []), ['smtpd-3', 'smtpd-4'])
  assert.deepEqual(of(['mx'], [], ['key']), ['smtpd-3', 'smtpd-4', 'submission-3'])
  assert.deepEqual(of([], ['local']), ['submission-3'])
  assert.deepEqual(of([], []), ['smtpd-3', 'smtpd-4'])
  assert.deepEqual(
    ['smtpd-3', 'submission-3', 'smtpc'].map((name) => partOf(name, name === 'smtpc' ? 'smtpc' : 'smtpd')),
    ['smtpd', 'submission', 'smtpc'],
  )
})
