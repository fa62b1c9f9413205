/**
 * SCRAM-SHA-256 and -PLUS, the server's side (RFC 5802, RFC 7677, RFC 9266 for the binding). Pure; see `sasl.ts`.
 *
 * A client that says it could bind but believes that we cannot (`y`), while we offer it, has been lied to by
 * somebody in between, and is refused.
 */
import {
  attribute,
  authMessage,
  type ClientFirst,
  isProof,
  parseClientFinal,
  parseClientFirst,
  renderServerFirst,
  type ScramKeys,
  serverSignature,
} from '../../shared/smtp/scram.ts'
import { type Channel, isLogin, malformed, type SaslStep, type Verdict, wrong } from './sasl-step.ts'

const NONCE_OCTETS = 18
export const BINDING = 'tls-exporter'

export function scram(channel: Channel, message: Buffer, plus: boolean): SaslStep {
  const first = parseClientFirst(message.toString('utf8'))
  if (!first || !isLogin(first.name) || attribute(first.bare, 'm') !== null) return malformed()
  if (!fits(first, channel, plus)) return wrong(first.name)
  if (first.authzid !== '' && first.authzid !== first.name) return wrong(first.name)
  const answer = (verdict: Verdict): SaslStep => {
    if (verdict.kind === 'keys') return challenge(channel, first, verdict)
    const why = verdict.kind === 'braked' ? ('braked' as const) : ('unknown' as const)
    return { kind: 'failed', why, login: first.name }
  }
  return { kind: 'check', claim: { kind: 'keys', login: first.name }, answer }
}

/** RFC 5802 section 6. */
function fits({ binding }: ClientFirst, { exporter, bindingOffered }: Channel, plus: boolean): boolean {
  if (binding.kind === 'used') return plus && binding.name === BINDING && exporter !== null
  return !plus && !(binding.kind === 'unused' && bindingOffered)
}

function challenge(
  channel: Channel,
  first: ClientFirst,
  { keys, known }: { keys: ScramKeys; known: boolean },
): SaslStep {
  const nonce = first.nonce + channel.random(NONCE_OCTETS).toString('base64')
  const serverFirst = renderServerFirst({ nonce, salt: keys.salt, iterations: keys.iterations })
  const answer = (response: Buffer): SaslStep => {
    const final = parseClientFinal(response.toString('utf8'))
    if (!final) return malformed(first.name)
    const exporter = first.binding.kind === 'used' ? (channel.exporter ?? Buffer.alloc(0)) : Buffer.alloc(0)
    const binding = Buffer.concat([Buffer.from(first.header), exporter])
    const message = authMessage(first.bare, serverFirst, final.bare)
    const proven = isProof(keys, message, final.proof)
    if (final.nonce !== nonce || !final.binding.equals(binding) || !proven || !known) return wrong(first.name)
    return farewell(first.name, serverSignature(keys, message))
  }
  return { kind: 'challenge', data: Buffer.from(serverFirst), answer }
}

/** RFC 4954 section 4: what success has to say goes in a last challenge. */
function farewell(login: string, signature: Buffer): SaslStep {
  const data = Buffer.from(`v=${signature.toString('base64')}`)
  return {
    kind: 'challenge',
    data,
    answer: (rest) => (rest.length === 0 ? { kind: 'done', login } : malformed(login)),
  }
}
