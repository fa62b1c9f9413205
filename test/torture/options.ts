/**
 * What torture is asked to do: the words of its command line, checked.
 *
 * Fails: `readOptions` throws a UsageError whose message is one line for the caller.
 */
import { parseArgs } from 'node:util'

export class UsageError extends Error {}

export interface TortureOptions {
  kills: number
  /** Null: at every call. */
  cuts: number | null
  /** Messages of the recording that is cut. */
  messages: number
  seed: number
  faults: boolean
}

export const USAGE = `usage: npm run torture -- [option]...
  --kills N      kill -9 so often (1000); 0: none
  --cuts N|all   cut the power at so many calls of qmgr, spread over the recording (all); 0: none
  --messages N   in the recording whose calls are cut (120)
  --no-faults    without failing system calls
  --seed N       for the same choices again (by the clock)`

const MOST = 1_000_000

export function readOptions(words: string[], clock: number): TortureOptions {
  const { values } = parse(words)
  return {
    kills: whole('kills', values.kills, 1000),
    cuts: values.cuts === undefined || values.cuts === 'all' ? null : whole('cuts', values.cuts, 0),
    messages: whole('messages', values.messages, 120),
    seed: whole('seed', values.seed, clock % MOST),
    faults: values['no-faults'] !== true,
  }
}

function parse(words: string[]) {
  try {
    return parseArgs({
      args: words,
      options: {
        kills: { type: 'string' },
        cuts: { type: 'string' },
        messages: { type: 'string' },
        seed: { type: 'string' },
        'no-faults': { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function whole(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : /^\d+$/.test(text) ? Number(text) : -1
  if (value < 0 || value > MOST) throw new UsageError(`--${name}: a whole number up to ${MOST}, not ${text}`)
  return value
}
