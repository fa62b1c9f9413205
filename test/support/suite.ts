/**
 * Runs the built tests section by section with Node's own runner and tells it briefly: a line for each file, each
 * failure and each skip in full, and at the end the files that took longest and the runner's totals.
 *
 * Usage: `node dist/test/support/suite.js [SECTION or part of a file name]...`; without words, everything.
 * Leaves with 1 when a test failed or nothing was run.
 */
import { readdirSync } from 'node:fs'
import { cpus } from 'node:os'
import { basename, join } from 'node:path'
import { run } from 'node:test'

const BUILT = process.env['POSTHORN_TESTS'] ?? 'dist/test'
/** For one file; who asks for a part by name may have asked for a long one. */
const PATIENCE_MS = process.argv.length > 2 ? 4 * 3_600_000 : 400_000

/**
 * In this order, cheap ones first. Systems wait for each other's processes a third of the time, so one more of them runs
 * than there are processors; load and kill -9 want the machine for themselves.
 */
const SECTIONS: readonly { name: string; folder: string; files: RegExp; atOnce: number }[] = [
  { name: 'architecture', folder: 'architecture', files: /./, atOnce: 2 },
  { name: 'unit', folder: 'unit', files: /./, atOnce: 2 },
  { name: 'config', folder: 'config', files: /./, atOnce: 2 },
  { name: 'dialogue', folder: 'dialogue', files: /./, atOnce: 2 },
  { name: 'fuzz', folder: 'fuzz', files: /./, atOnce: 2 },
  { name: 'system', folder: 'system', files: /^(?!crash|bad-input|soak|torture)/, atOnce: 3 },
  { name: 'trouble', folder: 'system', files: /^(crash|bad-input|soak|torture)/, atOnce: 1 },
]

/** How many of them are named. */
const SLOWEST = 15

interface Tally {
  tests: number
  failed: number
  skipped: number
  ms: number
}

interface Facts {
  name: string
  file?: string
  nesting: number
  message?: string
  skip?: string | boolean
  todo?: string | boolean
  details?: { duration_ms?: number; type?: string; error?: unknown }
}

const say = (line: string) => process.stdout.write(`${line}\n`)

function filesOf(folder: string, pattern: RegExp, wanted: string[], section: string): string[] {
  const all = readdirSync(BUILT, { recursive: true, encoding: 'utf8' })
  const inFolder = all.filter((name) => name.startsWith(`${folder}/`) && name.endsWith('.test.js'))
  return inFolder
    .filter((name) => pattern.test(basename(name)))
    .filter(
      (name) =>
        wanted.length === 0 || wanted.includes(section) || wanted.some((w) => basename(name).includes(w)),
    )
    .sort((a, b) => a.localeCompare(b))
    .map((name) => join(BUILT, name))
}

async function runFiles(files: string[], atOnce: number, byFile: Map<string, Tally>): Promise<Tally> {
  const total = newTally()
  const failures: Facts[] = []
  const stream = run({ files, concurrency: Math.min(atOnce, cpus().length + 1), timeout: PATIENCE_MS })
  stream.on('test:pass', (facts: Facts) => tally(facts, byFile, false))
  stream.on('test:fail', (facts: Facts) => {
    if (tally(facts, byFile, true)) failures.push(facts)
  })
  // a file itself is such a test as well: with all that is done before the first one of it, and after
  stream.on('test:complete', ({ name, file, details }: Facts) => {
    if (!file?.endsWith(name)) return
    const one = byFile.get(basename(file)) ?? newTally()
    byFile.set(basename(file), { ...one, ms: details?.duration_ms ?? 0 })
  })
  stream.on('test:diagnostic', (facts) => {
    if (
      facts.nesting > 0 ||
      !/^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /.test(facts.message)
    )
      say(`    ${facts.message}`)
  })
  stream.on('test:stderr', ({ message }) => process.stderr.write(message))
  for await (const _ of stream); // 'end' comes when it is read to the end
  for (const [file, one] of byFile) {
    sayFile(file, one)
    for (const key of ['tests', 'failed', 'skipped', 'ms'] as const) total[key] += one[key]
  }
  failures.forEach(sayFailure)
  return total
}

const newTally = (): Tally => ({ tests: 0, failed: 0, skipped: 0, ms: 0 })

/** Counts tests, not suites; a suite that failed only because a test in it did is no failure of its own. */
function tally(facts: Facts, byFile: Map<string, Tally>, failed: boolean): boolean {
  const file = basename(facts.file ?? 'unknown')
  const one = byFile.get(file) ?? newTally()
  byFile.set(file, one)
  const cause = facts.details?.error as { failureType?: string } | undefined
  if (facts.details?.type === 'suite' || cause?.failureType === 'subtestsFailed') return false
  one.tests++
  if (failed) one.failed++
  if (facts.skip !== undefined && facts.skip !== false) {
    one.skipped++
    say(`    SKIPPED ${file}: ${facts.name}: ${facts.skip}`)
  }
  return failed
}

function sayFile(file: string, { tests, failed, ms }: Tally): void {
  const mark = failed > 0 ? '\u2716' : '\u2714'
  const verdict = failed > 0 ? `${failed} of ${tests} FAILED` : `${tests} passed`
  say(
    `  ${mark} ${file.replace(/\.test\.js$/, '').padEnd(42)} ${verdict.padEnd(20)} ${(ms / 1000).toFixed(1)} s`,
  )
}

function sayFailure({ name, file, details }: Facts): void {
  const error = details?.error as { cause?: unknown; message?: string } | undefined
  const cause = error?.cause ?? error
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
  say(`\n  FAILED ${basename(file ?? '')}: ${name}\n${text.replace(/^/gm, '    ')}\n`)
}

/** Where a suite that has become slow is to be made quicker. */
function saySlowest(byFile: ReadonlyMap<string, Tally>): void {
  if (byFile.size <= SLOWEST) return
  say('\nslowest files')
  const sorted = [...byFile].sort(([, one], [, other]) => other.ms - one.ms)
  for (const [file, { ms }] of sorted.slice(0, SLOWEST))
    say(`  ${(ms / 1000).toFixed(1).padStart(6)} s  ${file.replace(/\.test\.js$/, '')}`)
}

async function main(wanted: string[]): Promise<number> {
  const total = newTally()
  const all = new Map<string, Tally>()
  const began = performance.now()
  for (const { name, folder, files, atOnce } of SECTIONS) {
    const found = filesOf(folder, files, wanted, name)
    if (found.length === 0) continue
    say(`\n${name}`)
    const byFile = new Map<string, Tally>()
    const tallied = await runFiles(found, atOnce, byFile)
    for (const [file, one] of byFile) all.set(file, one)
    for (const key of ['tests', 'failed', 'skipped'] as const) total[key] += tallied[key]
  }
  saySlowest(all)
  say(`\n\u2139 tests ${total.tests}`)
  say(`\u2139 pass ${total.tests - total.failed - total.skipped}`)
  say(`\u2139 fail ${total.failed}`)
  say(`\u2139 skipped ${total.skipped}`)
  say(`\u2139 duration_ms ${Math.round(performance.now() - began)}`)
  return total.failed > 0 || total.tests === 0 ? 1 : 0
}

process.exitCode = await main(process.argv.slice(2))
