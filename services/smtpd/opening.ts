/**
 * How a session begins: qmgr lets it in, the greeting waits for its delay and for what is known of the client
 * (`screening.ts`), or there is none. Pure.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import { greeting, replies } from './replies.ts'
import { askAbout, payOwed, standingOf, whyNoGreeting } from './screening.ts'
import type { Effect, Event, Phase, Setting, Standing, State, Step } from './state.ts'
import { hangUp, move, say, stay } from './step.ts'

type Opening = Extract<Event, { kind: 'opened' | 'unavailable' | 'delay-over' | 'early' }>

export function begin(setting: Setting, state: State, event: Opening): Step {
  const { at } = state.phase
  if (at !== 'connect' && at !== 'delay') return stay(state)
  switch (event.kind) {
    case 'unavailable':
      return hangUp(state, replies.notWorking)
    // RFC 5321 section 4.3.1: a client must wait for the greeting
    case 'early':
      return setting.greetingDelay > 0 ? hangUp(state, replies.earlyTalker) : stay(state)
    case 'opened':
      if (event.answer.kind === 'refused') return hangUp(state, event.answer.reply)
      return beginToWait(setting, state)
    case 'delay-over':
      return state.phase.at === 'delay'
        ? greetWhenReady(setting, state, { ...state.phase, timer: false })
        : stay(state)
    default:
      return event satisfies never
  }
}

function beginToWait(setting: Setting, state: State): Step {
  const timer = setting.greetingDelay > 0
  const screen = setting.screening?.when === 'connect'
  const next = greetWhenReady(setting, state, { at: 'delay', timer, screen })
  const effects: Effect[] = timer ? [{ kind: 'delay' }] : []
  return {
    state: next.state,
    effects: [...effects, ...(screen ? [askAbout(setting, null)] : []), ...next.effects],
  }
}

function greetWhenReady(setting: Setting, state: State, phase: Extract<Phase, { at: 'delay' }>): Step {
  return phase.timer || phase.screen
    ? move(state, phase)
    : move(state, { at: 'start' }, say(greeting(setting)))
}

/** The resolver has said what it knows, while the client waits for its greeting or for the replies to RCPT. */
export function screened(setting: Setting, state: State, answer: Answer<'screen'> | null): Step {
  const { phase } = state
  const { screening } = setting
  const helo = phase.at === 'mail' ? phase.hello.name : null
  const standing = answer && screening && standingOf(screening, answer, helo)
  const known: State = { ...state, standing }
  const told: Effect[] = standing ? [{ kind: 'judged', standing }] : []
  const next = afterScreening(setting, known, standing)
  return { state: next.state, effects: [...told, ...next.effects] }
}

function afterScreening(setting: Setting, state: State, standing: Standing | null): Step {
  const { phase } = state
  if (phase.at === 'mail') return payOwed(setting, state, phase, phase.transaction)
  if (phase.at !== 'delay') return stay(state)
  const refused = standing && whyNoGreeting(standing)
  return refused ? hangUp(state, refused) : greetWhenReady(setting, state, { ...phase, screen: false })
}
