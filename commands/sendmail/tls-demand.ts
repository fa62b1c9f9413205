/**
 * What a caller says of TLS on the way out, by GoSendmail's variables: `GOSENDMAIL_TLS` no is without STARTTLS, yes is
 * never in clear and never to a host that cannot prove its name; with `GOSENDMAIL_SELFSIGNED` yes any certificate will
 * do. Without the first it is as the server's configuration says. Told to the server by XTLS (`shared/README.md`).
 *
 * Fails: `Stop` for a value that is neither yes nor no, because the mail of somebody who wanted TLS must not go without.
 */
import type { TlsDemand } from '../../shared/message/envelope.ts'
import { exitCodes } from './exit-code.ts'
import { Stop } from './stop.ts'

const YES = new Set(['1', 't', 'true', 'y', 'yes', 'on'])
const NO = new Set(['0', 'f', 'false', 'n', 'no', 'off'])

export function tlsDemandOf(env: NodeJS.ProcessEnv): TlsDemand | null {
  const wanted = readSwitch(env, 'GOSENDMAIL_TLS')
  const selfSigned = readSwitch(env, 'GOSENDMAIL_SELFSIGNED')
  if (wanted === null) return null
  if (!wanted) return 'none'
  return selfSigned ? 'encrypted' : 'verified'
}

/** Null: not set, or empty. */
function readSwitch(env: NodeJS.ProcessEnv, name: string): boolean | null {
  const value = env[name]?.trim().toLowerCase() ?? ''
  if (value === '') return null
  if (YES.has(value)) return true
  if (NO.has(value)) return false
  throw new Stop(exitCodes.usage, [`${name} is neither yes nor no: ${JSON.stringify(value)}`])
}

/** The parameter of MAIL; '' where nothing is demanded or can be told. */
export function tlsParameter(demand: TlsDemand | null, offered: boolean): string {
  return demand && offered ? `XTLS=${demand.toUpperCase()}` : ''
}

/** Such a server would send in clear what must not go so. */
export function isBeyond(demand: TlsDemand | null, offered: boolean): boolean {
  return !offered && demand !== null && demand !== 'none'
}
