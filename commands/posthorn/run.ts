/**
 * From a command line to an exit code. What a sub-command needs is loaded when it is called: `help` and `version`
 * must not wait for the configuration.
 */
import { BUILD } from '../../shared/runtime/build.ts'
import { type Exit, exits, Trouble } from './trouble.ts'
import { type Call, readWords, renderHelp } from './words.ts'

type Print = (text: string) => void

export interface Manner {
  /** The name that errors begin with. */
  as: string
  /** That no server runs is no error. */
  serverMayBeAway: boolean
}

const USUAL: Manner = { as: 'posthorn', serverMayBeAway: false }

export async function run(argv: readonly string[], { as, serverMayBeAway }: Manner = USUAL): Promise<void> {
  process.stdout.on('error', () => process.exit(exits.ok)) // `| head` has seen enough
  const words = readWords(argv)
  if (words.kind === 'usage') return leave(as, new Trouble(exits.usage, words.message))
  try {
    const exit = await dispatch(words.call, (text) => void process.stdout.write(text))
    if (exit !== null) process.exitCode = exit
  } catch (error) {
    if (serverMayBeAway && error instanceof Trouble && error.exit === exits.unavailable) return
    leave(as, error)
  }
}

/** Null: the process has become something else and ends when that does. */
async function dispatch(call: Call, print: Print): Promise<Exit | null> {
  switch (call.command) {
    case 'help':
      print(renderHelp())
      return exits.ok
    case 'version':
      print(`Posthorn ${BUILD}, Node.js ${process.version}\n`)
      return exits.ok
    case 'options':
      print((await import('../../shared/config/manual.ts')).renderOptions())
      return exits.ok
    case 'check':
      return check(call, print)
    case 'lookup':
      return (await import('./lookup.ts')).lookUp(call, print)
    case 'aliases':
      return (await import('./aliases.ts')).checkAliases(call, print)
    case 'passwd':
      return (await import('./passwd.ts')).setPassword(call, print)
    case 'sign-and-send':
      throw new Trouble(exits.usage, 'sign-and-send is the first word, and has options of its own')
    case 'setup-users': {
      const { setupUsers } = await import('../setup-users.ts')
      return setupUsers(call.flags.has('print') ? ['--print'] : [], print)
    }
    case 'start':
      await (await import('./life.ts')).start(call)
      return null
    case 'stop':
    case 'reload':
    case 'status':
      return (await import('./life.ts'))[call.command](call, print)
    case 'agent':
      return (await import('../agent/call.ts')).agent(call)
    case 'agent grants':
      return (await import('../agent/grants-call.ts')).grants(call, print)
    case 'account list':
    case 'account check':
    case 'account find':
    case 'account import':
    case 'account options':
      return (await import('../accounts/call.ts')).account(call, print)
    case 'outbox list':
    case 'outbox release':
    case 'outbox remove':
    case 'outbox flush':
      return (await import('../agent/outbox-call.ts')).outbox(call, print)
    case 'reports list':
    case 'reports read':
    case 'reports send':
      return (await import('./reports.ts')).reports(call, print)
    case 'greylist list':
    case 'greylist remove':
    case 'greylist flush':
      return (await import('./greylist.ts')).greylist(call, print)
    default:
      if (call.command.startsWith('key ')) return (await import('../keys/call.ts')).key(call, print)
      return dispatchQueue(call, print)
  }
}

async function dispatchQueue(call: Call, print: Print): Promise<Exit> {
  const queue = await import('./queue.ts')
  switch (call.command) {
    case 'queue list':
      return queue.listQueue(call, print)
    case 'queue show':
      return queue.showMessage(call, print)
    case 'queue wait':
      return queue.waitForQueue(call)
    case 'queue flush':
    case 'queue retry':
      return queue.actOnQueue(call, 'retry', print)
    case 'queue hold':
      return queue.actOnQueue(call, 'hold', print)
    case 'queue release':
      return queue.actOnQueue(call, 'release', print)
    case 'queue route-again':
      return queue.actOnQueue(call, 'route-again', print)
    case 'queue remove':
      return queue.actOnQueue(call, 'remove', print)
    case 'queue restore':
      return queue.actOnQueue(call, 'restore', print)
    default:
      throw new Trouble(exits.software, `nobody knows how to ${call.command}`)
  }
}

async function check(call: Call, print: Print): Promise<Exit> {
  const [{ checkCommand }, { configFile }] = await Promise.all([
    import('../../shared/config/check.ts'),
    import('./server.ts'),
  ])
  const file = call.operands[0] ?? configFile(call)
  const { directory } = call.values
  const { output, exit } = checkCommand(file, directory === undefined ? {} : { directory })
  print(output)
  return exit === 0 ? exits.ok : exits.bad
}

function leave(as: string, error: unknown): void {
  const exit = error instanceof Trouble ? error.exit : exits.software
  const text =
    error instanceof Trouble ? error.message : `bug: ${error instanceof Error ? error.stack : error}`
  const more = exit === exits.usage ? '; see "posthorn help"' : ''
  process.stderr.write(`${as}: ${text.trimEnd()}${more}\n`)
  process.exit(exit)
}
