/**
 * What has been settled with one milter and what it owes us, as a pure machine: `say` gives the packets of a command
 * and whether an answer follows, `hear` what an answer means. Both give the next state.
 *
 * At the end of the content any number of changes comes before the last word; elsewhere there is one answer.
 * Fails: FilterTrouble for an answer out of place or a change that was not agreed on; the milter is then of no use.
 * Next: `milter.ts`, the shell.
 */
import { replies } from '../replies.ts'
import { type Change, CONTINUE, FilterTrouble, type Word } from './change.ts'
import {
  ALL_ACTIONS,
  ALL_STEPS,
  actions,
  type Command,
  macroStages,
  renderCommand,
  renderMacros,
  type Stage,
  steps,
  VERSION,
} from './milter-command.ts'
import type { MilterReply, Terms } from './milter-reply.ts'

export interface MilterState {
  terms: Terms
  /** What an answer is owed to. */
  owed: Stage | null
  /** It wants no more of this body. */
  skipsBody: boolean
  /** Of this message; grows until its end is answered. */
  changes: Change[]
  /** Of a new body, so far. */
  bodyOctets: number
}

const OLDEST_VERSION = 2
const FIRST_WITH_DATA = 4
/** Nobody changes so much; memory is ours. */
const MOST_CHANGES = 20_000
/** Of a new body: what may travel within a frame. */
const MOST_BODY = 16 << 20

export function openConversation(terms: Terms): MilterState {
  if (terms.version < OLDEST_VERSION || terms.version > VERSION)
    throw new FilterTrouble(`it speaks version ${terms.version}`)
  if ((terms.actions & ~ALL_ACTIONS) !== 0 || (terms.steps & ~ALL_STEPS) !== 0)
    throw new FilterTrouble('it wants what was not offered')
  return { terms, owed: null, skipsBody: false, changes: [], bodyOctets: 0 }
}

export interface Said {
  state: MilterState
  packets: readonly Buffer[]
  /** An answer follows. */
  waits: boolean
}

const unwanted: Readonly<Record<Stage, number>> = {
  connect: steps.noConnect,
  helo: steps.noHelo,
  mail: steps.noMail,
  rcpt: steps.noRcpt,
  data: steps.noData,
  field: steps.noFields,
  'end-of-header': steps.noEndOfHeader,
  body: steps.noBody,
  end: 0,
}
const silent: Readonly<Record<Stage, number>> = {
  connect: steps.silentConnect,
  helo: steps.silentHelo,
  mail: steps.silentMail,
  rcpt: steps.silentRcpt,
  data: steps.silentData,
  field: steps.silentField,
  'end-of-header': steps.silentEndOfHeader,
  body: steps.silentBody,
  end: 0,
}

export function say(state: MilterState, command: Command): Said {
  const { kind } = command
  const begins = kind === 'mail' ? { ...state, skipsBody: false, changes: [], bodyOctets: 0 } : state
  if (!wants(begins, kind)) return { state: begins, packets: [], waits: false }
  const { terms } = begins
  const macros = renderMacros(command, terms.macros.get(macroStages.indexOf(kind)))
  const packet = renderCommand(command, (terms.steps & steps.leadingSpace) !== 0)
  const waits = (terms.steps & silent[kind]) === 0
  const packets = macros ? [macros, packet] : [packet]
  return { state: { ...begins, owed: waits ? kind : null }, packets, waits }
}

function wants({ terms, skipsBody }: MilterState, kind: Stage): boolean {
  if ((terms.steps & unwanted[kind]) !== 0) return false
  if (kind === 'data') return terms.version >= FIRST_WITH_DATA
  return !(kind === 'body' && skipsBody)
}

export interface Heard {
  state: MilterState
  /** Null: there is more to come. */
  word: Word | null
}

export function hear(state: MilterState, answer: MilterReply): Heard {
  const { owed } = state
  if (owed === null) throw new FilterTrouble('an answer that nobody waits for')
  if (answer.kind === 'progress') return { state, word: null }
  if (answer.kind === 'change') return { state: change(state, answer.change), word: null }
  const settled = { ...state, owed: null }
  switch (answer.kind) {
    case 'continue':
      return { state: settled, word: CONTINUE }
    case 'accept':
    case 'discard':
      return { state: settled, word: { kind: answer.kind } }
    case 'reject':
      return { state: settled, word: { kind: 'refuse', reply: replies.filterRejected } }
    case 'tempfail':
      return { state: settled, word: { kind: 'refuse', reply: replies.filterDeferred } }
    case 'reply':
      return { state: settled, word: { kind: 'refuse', reply: answer.reply } }
    case 'skip':
      if (owed !== 'body') throw new FilterTrouble(`it skips ${owed}`)
      return { state: { ...settled, skipsBody: true }, word: CONTINUE }
    case 'leaving':
      throw new FilterTrouble('it leaves')
    default:
      throw new FilterTrouble('no answer that there is')
  }
}

const allowedBy: Readonly<Record<Change['kind'], number>> = {
  'add-field': actions.addFields,
  'insert-field': actions.addFields | actions.changeFields,
  'change-field': actions.changeFields,
  sender: actions.changeSender,
  'add-recipient': actions.addRecipients | actions.addRecipientsWithParameters,
  'remove-recipient': actions.removeRecipients,
  body: actions.changeBody,
  hold: actions.hold,
}

function change(state: MilterState, one: Change): MilterState {
  if (state.owed !== 'end') throw new FilterTrouble(`a change (${one.kind}) before the end`)
  if ((state.terms.actions & allowedBy[one.kind]) === 0)
    throw new FilterTrouble(`a change (${one.kind}) that it had not asked for`)
  if (state.changes.length >= MOST_CHANGES) throw new FilterTrouble('too many changes')
  const bodyOctets = state.bodyOctets + (one.kind === 'body' ? one.octets.length : 0)
  if (bodyOctets > MOST_BODY) throw new FilterTrouble('too large a body')
  // in place: a list that is copied for each piece of a body would cost its square
  state.changes.push(one)
  return { ...state, bodyOctets }
}

/** The changes as they are to be made: a milter that does not speak of the space behind the colon means one. */
export function changesOf({ changes, terms }: MilterState): Change[] {
  if ((terms.steps & steps.leadingSpace) !== 0) return changes
  return changes.map((one) => ('value' in one && one.value !== '' ? { ...one, value: ` ${one.value}` } : one))
}
