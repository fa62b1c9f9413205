/**
 * One RCPT whose words are in order: the access rules, who the client is, then where the mail goes. Pure.
 *
 * What is known is answered at once; what is not is asked for, of the resolver: where the address leads, and at the
 * first recipient that is not settled without it, what is known of the client (`screening.ts`), for whose answer all
 * wait.
 */
import { asks, isBeyondDoubt, rulingOn } from './access.ts'
import { mustHaveCome } from './greylisting.ts'
import { askAbout, mustAsk, payOwed, whyNotTo } from './screening.ts'
import type { AskedRecipient, Effect, Fate, Moment, Phase, Setting, State, Step } from './state.ts'
import { move } from './step.ts'
import {
  answerAtOnce,
  answerLater,
  askFor,
  discarded,
  fateOf,
  isOpen,
  type Paid,
  refusal,
} from './transaction.ts'

interface Scene {
  setting: Setting
  state: State
  now: Moment
}
type AtMail = Extract<Phase, { at: 'mail' }>

export function takeRecipient(scene: Scene, phase: AtMail, read: AskedRecipient): Step {
  const { setting, now } = scene
  const { access } = setting
  const found =
    access.length > 0 ? rulingOn(access, phase.hello, phase.transaction, read, asks(setting, now)) : null
  if (!found) return consider(scene, phase, read)
  const { ruling, refusal: refused } = found
  const asked = { ...read, ruling }
  const told: Effect = { kind: 'ruled', address: read.address, sender: phase.transaction.sender, ruling }
  const next = refused
    ? answer(scene.state, phase, answerAtOnce(phase.transaction, asked, refusal(refused)))
    : consider(scene, phase, asked)
  return { state: next.state, effects: [told, ...next.effects] }
}

function consider(scene: Scene, phase: AtMail, asked: AskedRecipient): Step {
  const { setting, state } = scene
  if (asked.ruling?.action === 'discard')
    return answer(state, phase, answerAtOnce(phase.transaction, asked, discarded))
  if (isBeyondDoubt(asked.ruling)) return route(scene, phase, asked)
  const unwanted = whyNotTo(asked.address, setting, state)
  if (unwanted) return answer(state, phase, answerAtOnce(phase.transaction, asked, refusal(unwanted)))
  if (!mustAsk(setting, state, phase.hello)) return route(scene, phase, asked)
  const next = route({ ...scene, state: { ...state, standing: 'asked' } }, phase, asked)
  return { state: next.state, effects: [askAbout(setting, phase.hello), ...next.effects] }
}

function route({ setting, state, now }: Scene, phase: AtMail, asked: AskedRecipient): Step {
  const { transaction } = phase
  const redirect = asked.ruling?.redirect
  const address = redirect ?? asked.address
  const mayRelay = setting.mayRelay || redirect !== undefined
  const known = now.knownAnswer({ address, mayRelay })
  if (known) {
    const fate: Fate = fateOf(asked, known, { mayRelay, isFull: now.isFull, sender: transaction.sender })
    const asksMore = isOpen(fate) && (setting.filtered || mustHaveCome(setting, state, asked))
    if (asksMore) return payOwed(setting, state, phase, answerLater(transaction, asked, fate).transaction)
    const say = state.standing === 'asked' ? answerLater : answerAtOnce
    return answer(state, phase, say(transaction, asked, fate))
  }
  return move(
    state,
    { ...phase, transaction: askFor(transaction, asked) },
    { kind: 'resolve', n: transaction.asked, address, ...(redirect !== undefined && { mayRelay }) },
  )
}

export function answer(state: State, phase: AtMail, { transaction, effects }: Paid): Step {
  return { state: { ...state, phase: { ...phase, transaction } }, effects }
}
