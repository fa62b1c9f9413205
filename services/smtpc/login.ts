/**
 * Logging in to a relay (AUTH, RFC 4954), once the session stands: what to say is in the file of `logins`, which is read
 * when it is needed, and again when it has changed.
 *
 * Lines are `KEY USER:PASSWORD`; the keys are the sender's address, `@` and its domain, the host's name, and `*`, in this
 * order; the value `none` is no login. Who finds no line is not let through without: mail would come back for our mistake.
 * Fails: with a reply that leaves the mail queued; no text of it has a password.
 */
import { readFileSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { parseMapText, type TextMap } from '../../shared/config/map-text.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import { Dialogue } from '../../shared/smtp-client/dialogue.ts'
import { offeredMechanisms, type SaslMechanism, speakSasl } from '../../shared/smtp-client/sasl.ts'
import { isSocketPath, type Target } from './hosts.ts'

/** Which line of the file: that of this key, or, where it is '', the one for the host. */
export interface Login {
  file: string
  key: string
}

type Said = { user: string; password: string } | 'none'

/** The best first. */
const PREFERRED: readonly SaslMechanism[] = ['scram-sha-256', 'plain', 'login']

const known = new Map<string, { version: number; map: TextMap }>()

/** @throws Error that says which file. */
function open(file: string): TextMap {
  try {
    const version = statSync(file).mtimeMs
    const found = known.get(file)
    if (found?.version === version) return found.map
    const map = parseMapText('hash', readFileSync(file, 'utf8')).value
    known.set(file, { version, map })
    return map
  } catch (error) {
    throw new Error(`logins cannot be used: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** For connections that may be shared: who has a line as a sender has connections as that sender. */
export function loginFor(file: string, sender: string): Login {
  try {
    const map = open(file)
    const address = sender.toLowerCase()
    const keys = address === '' ? [] : [address, address.slice(address.lastIndexOf('@'))]
    return { file, key: keys.find((key) => map.find(key) !== null) ?? '' }
  } catch {
    return { file, key: '' } // it is said when there is a host to say it to
  }
}

/** A password is said to this machine, or to a host that has proved its name. */
export function staysHere({ address }: Target): boolean {
  return isSocketPath(address) || address === '::1' || address.startsWith('127.')
}

function readLogin({ file, key }: Login, host: string): Said {
  const map = open(file)
  for (const one of key === '' ? [host.toLowerCase(), '*'] : [key]) {
    const found = map.find(one)
    if (found === 'faulty') throw new Error(`logins cannot be used: ${file} has lines that cannot be read`)
    if (!found) continue
    if (found.value === 'none') return 'none'
    const colon = found.value.indexOf(':')
    if (colon < 1) throw new Error(`logins cannot be used: ${file}:${found.line} is no USER:PASSWORD`)
    return { user: found.value.slice(0, colon), password: found.value.slice(colon + 1) }
  }
  throw new Error(`logins has no line for ${host}`)
}

/**
 * @param words of the answer to EHLO.
 * @param patience milliseconds for each answer.
 * @returns null when we are in, or need not be; the socket is as it was.
 */
export async function logIn(
  socket: Socket,
  words: readonly string[],
  login: Login,
  { name, port }: Target,
  patience: number,
): Promise<Reply | null> {
  try {
    const said = readLogin(login, name)
    if (said === 'none') return null
    const offered = offeredMechanisms(words)
    const mechanism = PREFERRED.find((one) => offered.includes(one))
    if (!mechanism) return own(451, '4.7.0', `${name} offers no login that is known here`)
    const dialogue = new Dialogue(socket, patience)
    const credentials = { user: said.user, secret: said.password, host: name, port }
    const reply = await speakSasl(dialogue, mechanism, {
      ...credentials,
      binding: null,
      bindingOffered: false,
    })
    const text = `login as ${said.user} was refused: ${reply.text}`
    if (reply.code !== 235) return { ...reply, text, host: name }
    dialogue.release()
    socket.resume()
    return null
  } catch (error) {
    return own(451, '4.7.0', `login to ${name}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
