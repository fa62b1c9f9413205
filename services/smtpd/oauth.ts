/**
 * Tokens of an OAuth server: read as JSON Web Tokens signed by one of its keys (RFC 7519, RFC 7517), or shown to it
 * (RFC 7662).
 *
 * jose is loaded with the first token and fetches and keeps the keys, anew at most every 30 s. Only asymmetric
 * algorithms count: a public key must never do as a shared secret. Fails: a token that is not good is 'false'; a
 * server that cannot be asked is 'unknown' and logged. No token is ever logged.
 */
import { readFileSync } from 'node:fs'
import type { JWTPayload, JWTVerifyGetKey } from 'jose'
import type { Log } from '../../shared/base/log.ts'
import type { OAuthSlice } from '../../shared/config/login-slices.ts'
import { isLogin, type Verdict } from './sasl-step.ts'

/** @param login whom the client says it is; '' when it leaves that to the token. */
export type OAuth = (login: string, token: string) => Promise<Verdict>

type Jwks = Extract<OAuthSlice, { kind: 'jwks' }>
type Introspection = Extract<OAuthSlice, { kind: 'introspection' }>

const PATIENCE_MS = 10_000
const LARGEST_ANSWER = 1 << 20
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]
/** Seconds by which clocks may differ. */
const CLOCK_TOLERANCE = 30
const FALSE: Verdict = { kind: 'false' }

export function openOAuth(slice: OAuthSlice, log: Log): OAuth {
  return slice.kind === 'jwks' ? byKeys(slice, log) : byQuestion(slice, log)
}

/** What a good token says, against what was asked for. Pure. */
export function judgeClaims(
  claims: Readonly<Record<string, unknown>>,
  wanted: { login: string; claim: string; scope: string | null },
): Verdict {
  const login = claims[wanted.claim]
  if (typeof login !== 'string' || !isLogin(login)) return FALSE
  // an address that nobody has verified may be anybody's
  if (wanted.claim === 'email' && claims['email_verified'] === false) return FALSE
  if (wanted.login !== '' && wanted.login !== login) return FALSE
  const scopes = typeof claims['scope'] === 'string' ? claims['scope'].split(' ') : []
  if (wanted.scope !== null && !scopes.includes(wanted.scope)) return FALSE
  return { kind: 'true', login }
}

function byKeys(slice: Jwks, log: Log): OAuth {
  let keys: JWTVerifyGetKey | null = null
  return async (login, token) => {
    const jose = await import('jose')
    keys ??= jose.createRemoteJWKSet(new URL(slice.url), { timeoutDuration: PATIENCE_MS })
    try {
      const { issuer, audience } = slice
      const options = {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE,
        requiredClaims: ['exp'],
      }
      const { payload }: { payload: JWTPayload } = await jose.jwtVerify(token, keys, options)
      return judgeClaims(payload, { login, claim: slice.login, scope: slice.scope })
    } catch (error) {
      if (isTokensFault(error)) return FALSE
      log.error({ url: slice.url, why: String(error) }, 'the keys of the OAuth server cannot be had')
      return { kind: 'unknown' }
    }
  }
}

/** jose's errors have codes: of the token, of its key, or of the key set. */
function isTokensFault(error: unknown): boolean {
  const code = String((error as { code?: unknown }).code ?? '')
  if (code === 'ERR_JWKS_TIMEOUT' || code === 'ERR_JWKS_INVALID') return false
  return /^ERR_(JWT|JWS|JOSE_ALG|JOSE_NOT|JWKS_NO_MATCHING|JWKS_MULTIPLE)/.test(code)
}

function byQuestion(slice: Introspection, log: Log): OAuth {
  return async (login, token) => {
    try {
      const answer = await introspect(slice, token)
      return answer ? judgeAnswer(answer, slice, login) : FALSE
    } catch (error) {
      log.error({ url: slice.url, why: String(error) }, 'the OAuth server does not answer')
      return { kind: 'unknown' }
    }
  }
}

function judgeAnswer(answer: Record<string, unknown>, slice: Introspection, login: string): Verdict {
  const { active, exp, iss, aud } = answer
  const now = Date.now() / 1000
  const late = typeof exp === 'number' && exp + CLOCK_TOLERANCE < now
  if (active !== true || late) return FALSE
  if (slice.issuer !== null && iss !== slice.issuer) return FALSE
  if (
    slice.audience !== null &&
    aud !== slice.audience &&
    !(Array.isArray(aud) && aud.includes(slice.audience))
  )
    return FALSE
  return judgeClaims(answer, { login, claim: slice.login, scope: slice.scope })
}

// RFC 7662 section 2.1
async function introspect(slice: Introspection, token: string): Promise<Record<string, unknown> | null> {
  const response = await fetch(slice.url, {
    method: 'POST',
    headers: {
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
      ...(slice.client === null ? {} : { authorization: credentials(slice.client, slice.secret) }),
    },
    body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
    redirect: 'error',
    signal: AbortSignal.timeout(PATIENCE_MS),
  })
  const text = await readBounded(response)
  if (!response.ok) throw new Error(`HTTP ${response.status}`)
  const answer: unknown = JSON.parse(text)
  return typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : null
}

/** RFC 6749 section 2.3.1. The secret is read each time: it may have been changed. */
function credentials(client: string, secret: string | null): string {
  const password = secret === null ? '' : readFileSync(secret, 'utf8').replace(/\r?\n$/, '')
  const words = [client, password].map((word) => encodeURIComponent(word)).join(':')
  return `Basic ${Buffer.from(words).toString('base64')}`
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > LARGEST_ANSWER) throw new Error('an endless answer')
    chunks.push(Buffer.from(chunk))
  }
  return Buffer.concat(chunks).toString('utf8')
}
