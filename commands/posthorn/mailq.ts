/**
 * `mailq`: the server's queue, and above it the outbox of a user who has one. Who has accounts of their own may be on
 * a machine without a mail server; then the outbox is all there is.
 */
import { findPlaces, hasAccounts } from '../accounts/places.ts'
import { run } from './run.ts'
import { type Call, readWords } from './words.ts'

const WHERE_AND_HOW = new Set(['config', 'directory', 'queue-socket', 'control-socket', 'json', 'exit-code'])

export async function runMailq(argv: readonly string[]): Promise<void> {
  const words = readWords(['queue', 'list', ...argv])
  const everything = words.kind === 'call' && selectsNothing(words.call)
  const mine = everything && hasAccounts(findPlaces())
  if (mine) {
    const { listMessages } = await import('../agent/outbox-call.ts')
    listMessages(words.call.flags.has('json'), true, (text) => void process.stdout.write(text))
  }
  await run(['queue', 'list', ...argv], { as: 'mailq', serverMayBeAway: mine })
}

function selectsNothing({ operands, flags, values }: Call): boolean {
  return operands.length === 0 && [...flags, ...Object.keys(values)].every((name) => WHERE_AND_HOW.has(name))
}
