/**
 * What we say to a policy server, as Postfix's policy delegation protocol has it: lines `name=value`, an empty line
 * behind the last. Pure. Postfix's SMTPD_POLICY_README is the standard; no RFC has it.
 *
 * All attributes of Postfix are there, those that nobody here knows with the value that Postfix gives them then.
 * `instance` is the same for all questions about one message. Next: `policy-answer.ts`.
 */
import type { PolicyStage } from '../../../shared/config/filter-slice.ts'
import { cipherBits } from '../tls-facts.ts'
import { confirmedName, type MessageFacts, reverseName } from './change.ts'

export interface PolicyQuestion {
  stage: PolicyStage
  facts: MessageFacts
  /** Those that were accepted; at RCPT the one that is asked about. */
  recipients: readonly string[]
  /** Octets of the client's content, once they are counted. */
  size?: number
}

const stateOf: Readonly<Record<PolicyStage, string>> = {
  rcpt: 'RCPT',
  data: 'DATA',
  'end-of-message': 'END-OF-MESSAGE',
}

export function renderQuestion(question: PolicyQuestion): Buffer {
  const lines = Object.entries({ ...ofMessage(question), ...ofClient(question.facts) })
  return Buffer.from(`${lines.map(([name, value]) => `${name}=${plain(value)}\n`).join('')}\n`)
}

/** A line is a line whatever a client has said. */
function plain(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return value.replace(/[\x00-\x1f\x7f]/g, '?')
}

function ofMessage({ stage, facts, recipients, size }: PolicyQuestion): Record<string, string> {
  const [first = ''] = recipients
  return {
    request: 'smtpd_access_policy',
    protocol_state: stateOf[stage],
    protocol_name: facts.protocol,
    queue_id: facts.id,
    instance: `${facts.session}.${facts.id}`,
    sender: facts.sender,
    recipient: recipients.length === 1 ? first : '',
    // Postfix counts none before DATA
    recipient_count: stage === 'rcpt' ? '0' : String(recipients.length),
    size: String(size ?? facts.size),
  }
}

function ofClient({ hostname, client, named, helo, user, mechanism, tls, ends, listener }: MessageFacts): {
  [attribute: string]: string
} {
  const local = client === ''
  const unnamed = local ? 'localhost' : 'unknown'
  return {
    client_address: local ? '127.0.0.1' : client,
    client_port: ends.clientPort > 0 ? String(ends.clientPort) : 'unknown',
    client_name: confirmedName(named) ?? unnamed,
    reverse_client_name: reverseName(named) ?? unnamed,
    helo_name: helo,
    server_address: ends.serverAddress === '' ? '127.0.0.1' : ends.serverAddress,
    server_port: String(ends.serverPort),
    sasl_method: mechanism ?? '',
    sasl_username: user ?? '',
    sasl_sender: '',
    ccert_subject: tls?.certificateNames[0] ?? '',
    ccert_issuer: tls?.certificate?.issuer ?? '',
    ccert_fingerprint: tls?.certificate?.fingerprint ?? '',
    ccert_pubkey_fingerprint: '',
    encryption_protocol: tls?.version ?? '',
    encryption_cipher: tls?.cipher ?? '',
    encryption_keysize: String(tls ? cipherBits(tls.cipher) : 0),
    etrn_domain: '',
    stress: '',
    policy_context: listener,
    mail_version: 'Posthorn',
    server_name: hostname,
  }
}
