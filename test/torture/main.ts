/**
 * `npm run torture`: kills, power cuts and failing system calls against the real programs, and one table of what
 * became of everything that got 250. Leaves with 1 when something was lost, corrupted or bounced twice, 64 for
 * wrong words. What cannot be done here (no strace) is said, and counts as failure only where it was asked for.
 *
 * Read next: README.md, then `kill-rig.ts`, `power-rig.ts`, `fault-rig.ts`.
 */
import { faults, inflict } from './fault-rig.ts'
import { killAround } from './kill-rig.ts'
import { readOptions, type TortureOptions, USAGE, UsageError } from './options.ts'
import { cutPower } from './power-rig.ts'
import { findStrace } from './recording.ts'
import { isGood, type Row, renderTable, rowOfCuts, rowOfFault, rowOfKills } from './table.ts'

const CUTS_TOLD = 500
const say = (line: string) => process.stdout.write(`${line}\n`)

async function torture(options: TortureOptions): Promise<Row[]> {
  const rows: Row[] = []
  const strace = findStrace()
  if (!strace) say('!!! no strace here: no power cuts, and no faults but EMFILE')
  if (strace && options.cuts !== 0) rows.push(await cuts(strace, options))
  if (options.faults) rows.push(...(await allFaults(strace)))
  if (options.kills > 0) rows.push(await kills(options))
  return rows
}

async function cuts(strace: string, { cuts, messages, seed }: TortureOptions): Promise<Row> {
  const onProgress = (done: number, of: number) => {
    if (done % CUTS_TOLD === 0) say(`${done} of ${of} power cuts`)
  }
  const result = await cutPower({ strace, seed, messages, cuts, onProgress })
  for (const example of result.examples) say(`  ${example}`)
  return rowOfCuts(result)
}

async function allFaults(strace: string | null): Promise<Row[]> {
  const rows: Row[] = []
  for (const fault of faults) {
    if (!strace && fault.inject.length > 0) continue
    say(`fault: ${fault.name}`)
    rows.push(rowOfFault(await inflict(fault, strace)))
  }
  return rows
}

async function kills({ kills, seed }: TortureOptions): Promise<Row> {
  const result = await killAround({ kills, seed, onProgress: (done) => say(`${done} of ${kills} kills`) })
  for (const what of result.verdict.lost.slice(0, 10)) say(`  lost: ${what}`)
  return rowOfKills(result)
}

async function main(): Promise<number> {
  try {
    const options = readOptions(process.argv.slice(2), Date.now())
    say(`seed ${options.seed}`)
    const rows = await torture(options)
    say(`\n${renderTable(rows)}`)
    return rows.every(isGood) ? 0 : 1
  } catch (error) {
    const wrongWords = error instanceof UsageError
    process.stderr.write(`torture: ${wrongWords || !(error instanceof Error) ? error : error.stack}\n`)
    if (wrongWords) process.stderr.write(`${USAGE}\n`)
    return wrongWords ? 64 : 1
  }
}

process.exitCode = await main()
