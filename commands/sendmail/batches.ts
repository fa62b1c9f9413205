/**
 * More recipients than a transaction holds (LIMITS RCPTMAX): several transactions, so that each gets the message once.
 *
 * First all of them are asked about, and nothing is sent when a single one is put off: that is 75, nobody has it. Then
 * each batch is sent. One that is put off all the same, when others have got theirs, ends it: who is left is named, and
 * it is not 75, since whoever tries again after that sends everything again. Pure but for what `Hands` does.
 */
import { exitCodes } from './exit-code.ts'
import { OTHERS_HAVE_IT, type Verdict } from './judgement.ts'

export interface Hands {
  /** As -bv: the server says what it would do, and nothing is sent. */
  ask: (recipients: readonly string[]) => Promise<Verdict>
  send: (recipients: readonly string[]) => Promise<Verdict>
}

export async function inBatches(
  { recipients, most }: NonNullable<Verdict['batches']>,
  { ask, send }: Hands,
): Promise<Verdict> {
  const refused: Verdict[] = []
  const taken: string[][] = []
  for (const batch of cut(recipients, most)) {
    const asked = await ask(batch)
    if (isPutOff(asked)) return asked
    if (asked.exit !== exitCodes.ok) refused.push(asked)
    const good = batch.filter((recipient) => !names(asked, recipient))
    // whom nobody names alone is refused with all others
    if (asked.exit === exitCodes.ok || good.length < batch.length) taken.push(good)
  }
  const batches = taken.filter(({ length }) => length > 0)
  return summed([...refused, ...(await sendAll(batches, send))])
}

async function sendAll(batches: readonly string[][], send: Hands['send']): Promise<Verdict[]> {
  const verdicts: Verdict[] = []
  for (const [n, batch] of batches.entries()) {
    const verdict = await send(batch)
    if (!isPutOff(verdict)) {
      verdicts.push(verdict)
      continue
    }
    // nobody has it yet
    if (n === 0) return [verdict]
    return [...verdicts, leftOver(batches.slice(n).flat(), verdict)]
  }
  return verdicts
}

function leftOver(recipients: readonly string[], { lines: [why = 'put off'] }: Verdict): Verdict {
  const lines = recipients.map((recipient) => `<${recipient}>: ${why}`)
  return { exit: exitCodes.unavailable, lines: [...lines, OTHERS_HAVE_IT], again: false }
}

/** What was put off says so alone; of the rest the first decides. */
function summed(verdicts: readonly Verdict[]): Verdict {
  const [first] = verdicts
  if (first && verdicts.length === 1) return first
  const failed = verdicts.find(({ exit }) => exit !== exitCodes.ok)
  const lines = [...new Set(verdicts.flatMap((verdict) => verdict.lines))]
  return { exit: failed?.exit ?? exitCodes.ok, lines, again: false }
}

function isPutOff({ exit }: Verdict): boolean {
  return exit === exitCodes.temporary
}

function names({ lines }: Verdict, recipient: string): boolean {
  return lines.some((line) => line.startsWith(`<${recipient}>: `))
}

function* cut(recipients: readonly string[], most: number): Generator<string[]> {
  for (let at = 0; at < recipients.length; at += most) yield recipients.slice(at, at + most)
}
