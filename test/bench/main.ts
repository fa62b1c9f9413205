/**
 * `npm run bench`: how fast Posthorn is, how much CPU and memory it takes, and how it fares in trouble, beside
 * peers when asked. Everything is on this machine's loopback, with syncs to a real disk.
 *
 * Only ratios of one call mean something: absolute figures move with the machine. Everything that was started is
 * stopped, also after ctrl-C. Leaves with 64 for wrong words, 1 for a run that failed.
 * Next: `cases.ts` for plain loads, `targets.ts` for the table of targets, the others by their names.
 */
import { benchAuthentication } from './authentication.ts'
import { benchCases } from './cases.ts'
import { benchClient } from './client.ts'
import { benchDeadDestinations } from './dead-destinations.ts'
import { benchDeferred } from './deferred.ts'
import { benchDns } from './dns.ts'
import { benchEngine } from './engine.ts'
import { benchInjection } from './injection.ts'
import { type BenchOptions, readOptions, USAGE, UsageError } from './options.ts'
import { benchSlowClients } from './slow-clients.ts'
import { benchSlowSync } from './slow-sync.ts'
import { benchTargets } from './targets.ts'

const say = (line: string) => void process.stdout.write(`${line}\n`)

function bench(options: BenchOptions, signal: AbortSignal): Promise<void> {
  const { mode } = options
  switch (mode.kind) {
    case 'cases':
      return benchCases(options, mode, say, signal)
    case 'table':
      return benchTargets(options, mode.messages, say, signal)
    case 'slow-sync':
      return benchSlowSync(mode.delayMs, say, signal)
    case 'slow-clients':
      return benchSlowClients(mode.count, say, signal)
    case 'dead-destinations':
      return benchDeadDestinations(mode.count, options.repeat, say, signal)
    case 'deferred':
      return benchDeferred(mode.count, say, signal)
    case 'dns':
      return benchDns(options.repeat, say)
    case 'authentication':
      return benchAuthentication(mode.messages, options.repeat, say, signal)
    case 'client':
      return benchClient(mode.messages, options.repeat, say, signal)
    case 'engine':
      return benchEngine(mode.messages, options.repeat, say, signal)
    case 'injection':
      return benchInjection(say)
    default: {
      const never: never = mode
      throw new Error(`unknown mode ${String(never)}`)
    }
  }
}

async function main(): Promise<number> {
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort())
  try {
    await bench(readOptions(process.argv.slice(2)), stop.signal)
    return 0
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`)
    if (error instanceof UsageError) process.stderr.write(`${USAGE}\n`)
    return error instanceof UsageError ? 64 : 1
  }
}

process.exitCode = await main()
