/** `posthorn agent grants`: looks at what was allowed by itself, and asks the agent to revoke, since that alone writes. */
import { findPlaces } from '../accounts/places.ts'
import { formatSpan, oneLine, renderTable } from '../posthorn/figures.ts'
import { type Exit, exits, Trouble } from '../posthorn/trouble.ts'
import type { Call } from '../posthorn/words.ts'
import { askAgent } from './ask.ts'
import { ALWAYS, type Grant, grantId, listGrants } from './grants.ts'

type Print = (text: string) => void

const ID = /^G[0-9A-F]{10}$/i

export async function grants(call: Call, print: Print): Promise<Exit> {
  const [word = 'list', ...ids] = call.operands
  const all = call.flags.has('all')
  if (word === 'list' && ids.length === 0 && !all) {
    const found = listGrants(findPlaces().state, Date.now())
    print(call.flags.has('json') ? found.map(toJson).join('') : renderGrants(found, Date.now()))
    return exits.ok
  }
  if (word !== 'revoke')
    throw new Trouble(exits.usage, `agent grants does not know "${word}": list or revoke`)
  if (all === ids.length > 0)
    throw new Trouble(exits.usage, 'agent grants revoke needs the names of grants, or --all')
  const bad = ids.find((id) => !ID.test(id))
  if (bad !== undefined) throw new Trouble(exits.missing, `${bad} is not the name of a grant`)
  const say = call.flags.has('quiet') ? null : print
  if (all) return askAgent('XGRANTS REVOKE', say)
  for (const id of ids) await askAgent(`XGRANTS REVOKE ${id}`, say)
  return exits.ok
}

export function renderGrants(found: readonly Grant[], now: number): string {
  if (found.length === 0) return 'No program may send without being asked about.\n'
  const rows = found.map((grant) => [
    grantId(grant),
    grant.until >= ALWAYS ? 'revoked' : formatSpan(grant.until - now),
    grant.account,
    oneLine(grant.program),
    oneLine(grant.recipients.join(' ')),
  ])
  return renderTable([['ID', 'UNTIL', 'ACCOUNT', 'PROGRAM', 'RECIPIENTS'], ...rows])
}

/** One object on one line. */
function toJson(grant: Grant): string {
  const until = grant.until >= ALWAYS ? null : new Date(grant.until).toISOString()
  return `${JSON.stringify({ id: grantId(grant), ...grant, until })}\n`
}
