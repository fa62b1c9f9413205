/**
 * `posthorn reports …`: reports that wait to be sent, of which the resolver is asked (root and whoever runs the
 * server may); and reports that others have sent, read from files and summed (`../reports/`), for who may read them.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import { reportsIn } from '../reports/sources.ts'
import { type DmarcLine, Summary, type TlsLine } from '../reports/summary.ts'
import { counted, oneLine, renderTable } from './figures.ts'
import { socketPath, withServer } from './server.ts'
import { type Exit, exits, Trouble } from './trouble.ts'
import type { Call } from './words.ts'

type Print = (text: string) => void

export function reports(call: Call, print: Print): Promise<Exit> {
  if (call.command === 'reports read') return readReports(call, print)
  return call.command === 'reports list' ? listReports(call, print) : sendReports(call, print)
}

async function listReports(call: Call, print: Print): Promise<Exit> {
  const { reports } = await ask(call, 'list', true)
  if (call.flags.has('json')) {
    for (const one of reports) print(`${JSON.stringify(one)}\n`)
    return exits.ok
  }
  const rows = reports.map(({ kind, day, domain, messages, attempts, to }) => [
    kind,
    day,
    domain,
    String(messages),
    String(attempts),
    to,
  ])
  if (rows.length > 0) print(renderTable([['about', 'day', 'domain', 'count', 'attempts', 'to'], ...rows]))
  return exits.ok
}

async function sendReports(call: Call, print: Print): Promise<Exit> {
  const { sent, failed } = await ask(call, 'send', call.flags.has('today'))
  if (!call.flags.has('quiet')) print(`sent: ${counted(sent, 'report')}, not sent: ${failed}\n`)
  return failed > 0 ? exits.temporary : exits.ok
}

async function readReports(call: Call, print: Print): Promise<Exit> {
  const summary = new Summary()
  const passedOver = (file: string, why: string) =>
    process.stderr.write(`${oneLine(file)}: ${oneLine(why)}\n`)
  try {
    for await (const report of reportsIn(call.operands, passedOver)) summary.add(report)
  } catch (error) {
    throw new Trouble(exits.missing, error instanceof Error ? error.message : String(error))
  }
  const [dmarc, tls] = [summary.dmarc(), summary.tls()]
  if (call.flags.has('json')) {
    for (const line of [...dmarc, ...tls]) print(`${JSON.stringify(line)}\n`)
    return exits.ok
  }
  print(dmarcTable(dmarc) + (dmarc.length > 0 && tls.length > 0 ? '\n' : '') + tlsTable(tls))
  if (summary.leftOut > 0) print(`left out, for there is too much: ${counted(summary.leftOut, 'row')}\n`)
  if (summary.reports === 0) print('no reports\n')
  return exits.ok
}

function dmarcTable(lines: readonly DmarcLine[]): string {
  if (lines.length === 0) return ''
  const rows = lines.map(({ week, domain, source, messages, passed, dkim, spf, stopped }) =>
    [
      domain,
      week,
      source,
      messages,
      share(passed, messages),
      share(dkim, messages),
      share(spf, messages),
      stopped,
    ].map((cell) => oneLine(String(cell))),
  )
  return renderTable([['domain', 'week', 'source', 'messages', 'pass', 'dkim', 'spf', 'stopped'], ...rows])
}

function tlsTable(lines: readonly TlsLine[]): string {
  if (lines.length === 0) return ''
  const rows = lines.map(({ week, domain, policy, sessions, failures, reasons }) =>
    [domain, week, policy, sessions, failures, reasons.join(' ')].map((cell) => oneLine(String(cell))),
  )
  return renderTable([['domain', 'week', 'tls policy', 'sessions', 'failed', 'why'], ...rows])
}

function share(part: number, whole: number): string {
  return whole === 0 ? '-' : `${Math.floor((100 * part) / whole)}%`
}

async function ask(call: Call, act: 'list' | 'send', today: boolean): Promise<Answer<'reports-act'>> {
  const answer = await withServer(socketPath(call, 'resolver'), 'resolver', (server) =>
    server.ask('reports-act', { act, today }),
  )
  if (answer.off)
    throw new Trouble(
      exits.unavailable,
      'no reports are sent here; say `reports { send yes; };` or `tls yes`',
    )
  return answer
}
