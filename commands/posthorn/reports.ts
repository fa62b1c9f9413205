/**
 * `posthorn reports …`: DMARC reports that wait to be sent. Asks the resolver; root and whoever runs the server may.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import { counted, renderTable } from './figures.ts'
import { socketPath, withServer } from './server.ts'
import { type Exit, exits, Trouble } from './trouble.ts'
import type { Call } from './words.ts'

type Print = (text: string) => void

export function reports(call: Call, print: Print): Promise<Exit> {
  return call.command === 'reports list' ? listReports(call, print) : sendReports(call, print)
}

async function listReports(call: Call, print: Print): Promise<Exit> {
  const { reports } = await ask(call, 'list', true)
  if (call.flags.has('json')) {
    for (const one of reports) print(`${JSON.stringify(one)}\n`)
    return exits.ok
  }
  const rows = reports.map(({ day, domain, messages, attempts, to }) => [
    day,
    domain,
    String(messages),
    String(attempts),
    to,
  ])
  if (rows.length > 0) print(renderTable([['day', 'domain', 'messages', 'attempts', 'to'], ...rows]))
  return exits.ok
}

async function sendReports(call: Call, print: Print): Promise<Exit> {
  const { sent, failed } = await ask(call, 'send', call.flags.has('today'))
  if (!call.flags.has('quiet')) print(`sent: ${counted(sent, 'report')}, not sent: ${failed}\n`)
  return failed > 0 ? exits.temporary : exits.ok
}

async function ask(call: Call, act: 'list' | 'send', today: boolean): Promise<Answer<'reports-act'>> {
  const answer = await withServer(socketPath(call, 'resolver'), 'resolver', (server) =>
    server.ask('reports-act', { act, today }),
  )
  if (answer.off)
    throw new Trouble(exits.unavailable, 'no reports are sent here; say `reports { send yes; };`')
  return answer
}
