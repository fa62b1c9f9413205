/**
 * SASL, the server's side (RFC 4422): each mechanism as steps. A step asks the client (`challenge`), asks the outside
 * whether a claim is true (`check`), or is an end. Pure: what comes back is handed to `answer`, which gives the next
 * step; sockets, password files and clocks are elsewhere.
 *
 * Fails: every path ends in `done` or `failed`; nothing that a client sends makes it throw.
 * Next: `scram.ts`, `session.ts` (who drives it), `authenticator.ts` (who checks claims).
 */
import { decodeName } from '../../shared/smtp/scram.ts'
import {
  type Channel,
  type Claim,
  isLogin,
  malformed,
  type SaslStep,
  type Verdict,
  wrong,
} from './sasl-step.ts'
import { scram } from './scram.ts'

type Mechanism = (channel: Channel, initial: Buffer | null) => SaslStep

export const mechanisms: ReadonlyMap<string, Mechanism> = new Map<string, Mechanism>([
  ['SCRAM-SHA-256-PLUS', (channel, initial) => withFirst(initial, (first) => scram(channel, first, true))],
  ['SCRAM-SHA-256', (channel, initial) => withFirst(initial, (first) => scram(channel, first, false))],
  ['EXTERNAL', (channel, initial) => withFirst(initial, (first) => external(channel, first))],
  ['OAUTHBEARER', (_, initial) => withFirst(initial, oauthBearer)],
  ['XOAUTH2', (_, initial) => withFirst(initial, xoauth2)],
  ['PLAIN', (_, initial) => withFirst(initial, plain)],
  ['LOGIN', (_, initial) => login(initial)],
])

const NOTHING = Buffer.alloc(0)

/** Without an initial response the client is asked for its first one by an empty challenge. */
function withFirst(initial: Buffer | null, go: (first: Buffer) => SaslStep): SaslStep {
  return initial ? go(initial) : { kind: 'challenge', data: NOTHING, answer: go }
}

export function check(claim: Claim, name: string): SaslStep {
  return { kind: 'check', claim, answer: (verdict) => conclude(verdict, name) }
}

function conclude(verdict: Verdict, name: string): SaslStep {
  switch (verdict.kind) {
    case 'true':
      return { kind: 'done', login: verdict.login }
    case 'challenge':
      return {
        kind: 'challenge',
        data: verdict.data,
        answer: (data) => check({ kind: 'relayed-response', data }, name),
      }
    case 'false':
      return wrong(name)
    case 'unknown':
    case 'braked':
      return { kind: 'failed', why: verdict.kind, login: name }
    case 'keys':
      return { kind: 'failed', why: 'unknown', login: name }
    default:
      return verdict satisfies never
  }
}

/** A mechanism that another server speaks. */
export function relayed(mechanism: string, initial: Buffer | null): SaslStep {
  return check({ kind: 'relayed', mechanism, initial, login: '' }, '')
}

// RFC 4616
function plain(message: Buffer): SaslStep {
  const [authzid, name, password, ...more] = message.toString('utf8').split('\0')
  if (name === undefined || password === undefined || more.length > 0 || !isLogin(name)) return malformed()
  // nobody may act for somebody else
  if (authzid !== '' && authzid !== name) return wrong(name)
  return password === '' ? wrong(name) : check({ kind: 'password', login: name, password }, name)
}

/** Never an RFC; Outlook and printers speak nothing else. */
function login(initial: Buffer | null): SaslStep {
  const askPassword = (octets: Buffer): SaslStep => {
    const name = octets.toString('utf8')
    if (!isLogin(name)) return malformed()
    return { kind: 'challenge', data: Buffer.from('Password:'), answer: (secret) => judge(name, secret) }
  }
  const judge = (name: string, secret: Buffer): SaslStep => {
    const password = secret.toString('utf8')
    if (password.includes('\0')) return malformed(name)
    return password === '' ? wrong(name) : check({ kind: 'password', login: name, password }, name)
  }
  return initial?.length
    ? askPassword(initial)
    : { kind: 'challenge', data: Buffer.from('Username:'), answer: askPassword }
}

// RFC 4422 appendix A: the response is whom the client wants to be, or nothing
function external({ certificateNames }: Channel, message: Buffer): SaslStep {
  const wanted = message.toString('utf8')
  const name = wanted === '' ? certificateNames[0] : certificateNames.find((one) => one === wanted)
  return name === undefined ? wrong(wanted) : check({ kind: 'certificate', login: name }, name)
}

/** The separator, control-A, as a NUL, which no message may have. */
function legible(message: Buffer): string {
  return message.includes(0) ? '' : message.toString('utf8').replaceAll(String.fromCharCode(1), '\0')
}

// RFC 7628 section 3.1
function oauthBearer(message: Buffer): SaslStep {
  const [, whom, fields] = /^n,(?:a=([^,]*))?,\0(.*)\0$/s.exec(legible(message)) ?? []
  const name = decodeName(whom ?? '')
  return name === null ? malformed() : bearer(fields, name)
}

/** Google's, older than RFC 7628. */
function xoauth2(message: Buffer): SaslStep {
  const [, user, fields] = /^user=([^\0]*)\0(.*)\0$/s.exec(legible(message)) ?? []
  return bearer(fields, user ?? '')
}

function bearer(fields: string | undefined, name: string): SaslStep {
  const auth = fields?.split('\0').find((field) => field.startsWith('auth='))
  const [, token] = /^auth=bearer ([\x21-\x7e]+)$/i.exec(auth ?? '') ?? []
  if (token === undefined || (name !== '' && !isLogin(name))) return malformed()
  const answer = (verdict: Verdict): SaslStep =>
    verdict.kind === 'false' ? refuseToken(name) : conclude(verdict, name)
  return { kind: 'check', claim: { kind: 'token', login: name, token }, answer }
}

/** RFC 7628 section 3.2.2: why not comes in a challenge, to which the client has nothing to say. */
function refuseToken(name: string): SaslStep {
  const data = Buffer.from('{"status":"invalid_token","schemes":"bearer"}')
  return { kind: 'challenge', data, answer: () => wrong(name) }
}
