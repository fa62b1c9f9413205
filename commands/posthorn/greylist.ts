/**
 * `posthorn greylist …`: what greylisting remembers, and how it forgets. Asks the resolver, page by page; root and
 * whoever runs the server may.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import { counted } from './figures.ts'
import { openServer, socketPath, withServer } from './server.ts'
import { type Exit, exits } from './trouble.ts'
import type { Call } from './words.ts'

type Print = (text: string) => void
type Entry = Answer<'greylist-act'>['entries'][number]

const PAGE = 500

export function greylist(call: Call, print: Print): Promise<Exit> {
  return call.command === 'greylist list' ? listGreylist(call, print) : forget(call, print)
}

async function listGreylist(call: Call, print: Print): Promise<Exit> {
  const server = await openServer(socketPath(call, 'resolver'), 'resolver')
  const json = call.flags.has('json')
  let after: Answer<'greylist-act'>['next'] = null
  do {
    const page: Answer<'greylist-act'> = await server.ask('greylist-act', { act: 'list', after, limit: PAGE })
    for (const entry of page.entries) print(json ? `${JSON.stringify(entry)}\n` : render(entry))
    after = page.next
  } while (after !== null)
  server.close()
  return exits.ok
}

function render({ network, sender, recipient, first, last, passed }: Entry): string {
  const whom = recipient === '' ? 'as a whole' : `<${sender}> to <${recipient}>`
  const times = `first ${new Date(first).toISOString()}, last ${new Date(last).toISOString()}`
  return `${network} ${whom}: ${passed > 0 ? `passed ${counted(passed, 'time')}` : 'waits'}, ${times}\n`
}

async function forget(call: Call, print: Print): Promise<Exit> {
  const [what] = call.operands
  const act = call.command === 'greylist flush' ? 'flush' : 'remove'
  const question = { act, after: null, limit: 0, ...(what !== undefined && { what }) } as const
  const { removed } = await withServer(socketPath(call, 'resolver'), 'resolver', (server) =>
    server.ask('greylist-act', question),
  )
  if (!call.flags.has('quiet')) print(`forgotten: ${counted(removed, 'entry', 'entries')}\n`)
  return act === 'remove' && removed === 0 ? exits.missing : exits.ok
}
