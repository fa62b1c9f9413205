/**
 * `posthorn lookup MAP KEY`: what a map says, asked of the resolver that runs, with its memory and its rights. As
 * smtpd and the zones ask, with `--as`. Root and whoever runs the server may.
 */
import type { Payload } from '../../shared/bus/messages.ts'
import { socketPath, withServer } from './server.ts'
import { type Exit, exits, Trouble } from './trouble.ts'
import type { Call } from './words.ts'

type Use = Payload<'look-up'>['questions'][number]['use']
const USES: readonly Use[] = ['address', 'name', 'rest', 'host', 'client', 'exact']

export async function lookUp(call: Call, print: (text: string) => void): Promise<Exit> {
  const [map = '', key = ''] = call.operands
  const wanted = call.values.as ?? 'exact'
  const use = USES.find((one) => one === wanted)
  if (!use) throw new Trouble(exits.usage, `--as ${wanted}: it is one of ${USES.join(', ')}`)
  const { answers } = await withServer(socketPath(call, 'resolver'), 'resolver', (server) =>
    server.ask('look-up', { questions: [{ map, use, key }] }),
  )
  const [answer] = answers
  if (call.flags.has('json')) print(`${JSON.stringify(answer)}\n`)
  switch (answer?.kind) {
    case 'found':
      if (!call.flags.has('json'))
        print(answer.key === key ? `${answer.value}\n` : `${answer.key}: ${answer.value}\n`)
      return exits.ok
    case 'missing':
      return exits.missing
    default:
      throw new Trouble(exits.temporary, `map ${map}: ${answer?.why ?? 'no answer'}`)
  }
}
