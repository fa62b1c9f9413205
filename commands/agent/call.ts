/** `posthorn agent`: the agent in this process, with its messages on standard error. */
import { requireAccounts } from '../accounts/call.ts'
import { findPlaces } from '../accounts/places.ts'
import { type Exit, exits, Trouble } from '../posthorn/trouble.ts'
import type { Call } from '../posthorn/words.ts'
import { AgentTrouble, runAgent } from './agent.ts'

export async function agent(call: Call): Promise<Exit> {
  const { agent: settings } = requireAccounts()
  // a terminal that is gone takes no words any more; mail is still to be finished
  for (const stream of [process.stdin, process.stdout, process.stderr]) stream.on('error', () => undefined)
  const log = (text: string) => void process.stderr.write(`posthorn agent: ${text}\n`)
  const onDemand = call.flags.has('on-demand')
  await runAgent({ places: findPlaces(), settings, onDemand, log }).catch((error: unknown) => {
    if (error instanceof AgentTrouble) throw new Trouble(exits.unavailable, error.message)
    throw error
  })
  return exits.ok
}
