/**
 * AUTH in the session (RFC 4954): the command, the client's responses, what the checks say, and what a login changes.
 *
 * Pure, like the rest of the session; the mechanisms are in `sasl.ts`. Who has logged in has a setting of their own
 * from then on: they may relay, and their senders are checked. Everything that fails ends in a reply and the phase
 * before AUTH.
 */

import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { challenge, replies } from './replies.ts'
import { mechanisms, relayed } from './sasl.ts'
import type { Failure, SaslStep, Verdict } from './sasl-step.ts'
import type { Hello, Moment, Phase, Setting, State, Step } from './state.ts'
import { move, say, stay } from './step.ts'

/** RFC 4954 section 4: no line of a client is longer. */
const LONGEST_RESPONSE = 12_288

/** Octets of a command line. */
export function longestLine({ auth: rules, bounds }: Pick<Setting, 'auth' | 'bounds'>): number {
  return rules ? Math.max(LONGEST_RESPONSE, bounds.commandLength) : bounds.commandLength
}

type AuthPhase = Extract<Phase, { at: 'auth' | 'verifying' }>

/** RFC 4954 section 3: after EHLO; RFC 2595 section 6: no passwords where others can listen. */
export function offeredMechanisms({ auth }: Setting, state: State): readonly string[] {
  if (!auth || state.login || (!state.secure && !auth.withoutTls)) return []
  return auth.mechanisms().filter((name) => {
    if (name === 'SCRAM-SHA-256-PLUS') return state.tls?.exporter != null
    if (name === 'EXTERNAL') return (state.tls?.certificateNames.length ?? 0) > 0
    return true
  })
}

export function auth(setting: Setting, state: State, hello: Hello, argument: string, now: Moment): Step {
  if (!setting.auth) return stay(state, say(replies.notImplemented))
  if (state.login) return stay(state, say(replies.authTwice))
  // RFC 4954 section 6
  if (!state.secure && !setting.auth.withoutTls) return stay(state, say(replies.authNeedsTls))
  const [name = '', response, ...more] = argument.split(' ')
  if (name === '' || more.length > 0) return stay(state, say(replies.authSyntax))
  const mechanism = name.toUpperCase()
  const offered = offeredMechanisms(setting, state)
  if (!offered.includes(mechanism)) return stay(state, say(replies.unknownMechanism))
  const initial = response === undefined ? null : decode(response)
  if (response !== undefined && !initial) return stay(state, say(replies.notBase64))
  const channel = {
    exporter: state.tls?.exporter ?? null,
    bindingOffered: offered.includes('SCRAM-SHA-256-PLUS'),
    certificateNames: state.tls?.certificateNames ?? [],
    random: now.random,
  }
  const start = setting.auth.relays(mechanism)
    ? relayed(mechanism, initial)
    : mechanisms.get(mechanism)?.(channel, initial)
  if (!start) return stay(state, say(replies.unknownMechanism))
  return go(setting, state, hello, mechanism, start)
}

/** A line in the middle of it (RFC 4954 section 4). */
export function respond(
  setting: Setting,
  state: State,
  phase: Extract<Phase, { at: 'auth' }>,
  text: string,
): Step {
  if (text === '*') return giveUp(state, phase, replies.authCancelled)
  const response = decode(text === '' ? '=' : text)
  if (!response) return giveUp(state, phase, replies.notBase64)
  return go(setting, state, phase.hello, phase.mechanism, phase.challenge.answer(response))
}

export function verified(
  setting: Setting,
  state: State,
  phase: Extract<Phase, { at: 'verifying' }>,
  verdict: Verdict,
): Step {
  return go(setting, state, phase.hello, phase.mechanism, phase.check.answer(verdict))
}

/** Back to where AUTH came from. */
export function giveUp(state: State, { hello }: AuthPhase, reply: SmtpReply): Step {
  return move(state, { at: 'ready', hello }, say(reply))
}

const failures: Readonly<Record<Failure, SmtpReply>> = {
  wrong: replies.authFailed,
  malformed: replies.authMalformed,
  unknown: replies.authUnavailable,
  braked: replies.authBraked,
}

function go(setting: Setting, state: State, hello: Hello, mechanism: string, next: SaslStep): Step {
  switch (next.kind) {
    case 'challenge':
      return move(
        state,
        { at: 'auth', hello, mechanism, challenge: next },
        say(challenge(next.data.toString('base64'))),
      )
    case 'check':
      return move(
        state,
        { at: 'verifying', hello, mechanism, check: next },
        { kind: 'verify', claim: next.claim },
      )
    case 'done':
      return loggedIn(setting, state, hello, mechanism, next.login)
    case 'failed': {
      const { why, login } = next
      return move(state, { at: 'ready', hello }, say(failures[why]), {
        kind: 'not-logged-in',
        mechanism,
        login,
        why,
      })
    }
    default:
      return next satisfies never
  }
}

function loggedIn(setting: Setting, state: State, hello: Hello, mechanism: string, user: string): Step {
  return move(
    { ...state, login: enter({ ...setting, mechanism }, user) },
    { at: 'ready', hello },
    say(replies.authenticated),
    {
      kind: 'logged-in',
      mechanism,
      login: user,
    },
  )
}

/** What holds once it is known who it is, by AUTH or by the word of a host that is trusted (XCLIENT). */
export function enter(setting: Setting, user: string): NonNullable<State['login']> {
  const own = { ...setting, user, mayRelay: true, screening: null }
  return { user, setting: setting.auth?.asUser(own, user) ?? own }
}

/** Null for what is no base64; `=` is an empty response (RFC 4954 section 4). */
function decode(text: string): Buffer | null {
  if (text === '=') return Buffer.alloc(0)
  const whole = text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text)
  return whole ? Buffer.from(text, 'base64') : null
}

/** Why this sender is not for this client; null: it is. */
export function whyNotSender({ auth: rules, user }: Setting, sender: string, now: Moment): SmtpReply | null {
  if (!rules) return null
  if (user === undefined) return rules.required ? replies.authFirst : null
  const may = rules.maySend(user, sender, now.lookUp)
  if (may === 'later') return replies.mapTrouble
  return may ? null : replies.foreignSender
}
