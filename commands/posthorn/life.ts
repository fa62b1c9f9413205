/** `posthorn start`, `stop`, `reload`, `status`: the life of the server, over mcp's control socket. */
import { resolve } from 'node:path'
import { configFile, openServer, socketPath, withServer } from './server.ts'
import { renderStatus } from './status-view.ts'
import { type Exit, exits, Trouble } from './trouble.ts'
import type { Call } from './words.ts'

type Print = (text: string) => void

/** This process becomes the server, so that there is one root process and not two. Does not come back. */
export async function start(call: Call): Promise<void> {
  const { directory } = call.values
  const words = [
    ...['start', '-c', configFile(call)],
    ...(directory === undefined ? [] : ['--directory', resolve(directory)]),
    ...(call.flags.has('as-caller') ? ['--as-caller'] : []),
    ...(call.flags.has('background') ? ['--background'] : []),
  ]
  process.argv.splice(2, process.argv.length, ...words)
  await import(new URL('../services/mcp/main.js', import.meta.url).href)
}

/** Comes back when the server has gone: what was under way is finished by then. */
export async function stop(call: Call, print: Print): Promise<Exit> {
  const server = await openServer(socketPath(call, 'mcp'), 'mcp')
  await server.ask('stop', {})
  await server.gone
  if (!call.flags.has('quiet')) print('stopped\n')
  return exits.ok
}

export async function reload(call: Call, print: Print): Promise<Exit> {
  const answer = await withServer(socketPath(call, 'mcp'), 'mcp', (server) => server.ask('reload', {}))
  if (answer.kind === 'refused') {
    throw new Trouble(exits.bad, `nothing changed, the running configuration stays:\n${answer.problems}`)
  }
  if (!call.flags.has('quiet')) print(`reloaded, configuration ${answer.epoch}\n`)
  return exits.ok
}

export async function status(call: Call, print: Print): Promise<Exit> {
  const answer = await withServer(socketPath(call, 'mcp'), 'mcp', (server) => server.ask('status', {}))
  const queue = await withServer(socketPath(call, 'qmgr'), 'qmgr', (server) =>
    server.ask('queue-status', {}),
  ).catch(() => null)
  print(
    call.flags.has('json')
      ? `${JSON.stringify({ ...answer, queue })}\n`
      : renderStatus(answer, queue, Date.now()),
  )
  return answer.processes.some(({ state }) => state === 'given-up') ? exits.bad : exits.ok
}
