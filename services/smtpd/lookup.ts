/**
 * Maps in a session: what a command wants to know of them is asked of the resolver, and then the command is taken once
 * more, with the answers. Pure.
 *
 * Whoever decides asks `Moment.lookUp`. Where that has no answer yet, what came of the decision is thrown away, the
 * session waits in phase `lookup`, and everything that happens meanwhile waits with it; so replies keep their order.
 * A session without maps never comes here.
 */
import type { Payload } from '../../shared/bus/messages.ts'
import type { Event, MapAnswer, Moment, Phase, Setting, State, Step } from './state.ts'
import { move, stay } from './step.ts'

type Decide = (setting: Setting, state: State, event: Event, now: Moment) => Step
type Question = Payload<'look-up'>['questions'][number]
type AtLookup = Extract<Phase, { at: 'lookup' }>

/** Of one message on the bus; what is more is asked in the next round. */
const MOST_QUESTIONS = 100

export function withMaps(setting: Setting, state: State, event: Event, now: Moment, decide: Decide): Step {
  if (state.phase.at === 'lookup') return whileAsking(setting, state, state.phase, event, now, decide)
  const missing = new Map<string, Question>()
  const lookUp = (question: Question): MapAnswer => {
    const known = now.lookUp(question)
    if (known) return known
    missing.set(`${question.map} ${question.use} ${question.key}`, question)
    return { kind: 'missing' }
  }
  const { time, intake, isFull, knownAnswer, takeId, random } = now
  const next = decide(setting, state, event, { time, intake, isFull, knownAnswer, takeId, random, lookUp })
  if (missing.size === 0) return next
  const questions = [...missing.values()].slice(0, MOST_QUESTIONS)
  const back = state.phase
  return move(state, { at: 'lookup', back, waiting: [event] }, { kind: 'look-up', questions })
}

function whileAsking(
  setting: Setting,
  state: State,
  phase: AtLookup,
  event: Event,
  now: Moment,
  decide: Decide,
): Step {
  switch (event.kind) {
    case 'looked-up':
      return takeAll(setting, { ...state, phase: phase.back }, phase.waiting, now, decide)
    case 'gone':
      return decide(setting, { ...state, phase: phase.back }, event, now)
    case 'drain':
      return decide(setting, state, event, now)
    case 'timeout':
      return stay(state)
    default:
      return stay({ ...state, phase: { ...phase, waiting: [...phase.waiting, event] } })
  }
}

/** What has waited, in its order; one of it may have to ask again, and the rest wait on. */
function takeAll(
  setting: Setting,
  state: State,
  waiting: readonly Event[],
  now: Moment,
  decide: Decide,
): Step {
  let step: Step = stay(state)
  for (const [index, event] of waiting.entries()) {
    const next = withMaps(setting, step.state, event, now, decide)
    step = { state: next.state, effects: [...step.effects, ...next.effects] }
    const { phase } = step.state
    if (phase.at === 'closed') return step
    if (phase.at !== 'lookup') continue
    const rest = waiting.slice(index + 1)
    return { ...step, state: { ...step.state, phase: { ...phase, waiting: [...phase.waiting, ...rest] } } }
  }
  return step
}
