/**
 * What a person at a terminal is told when everything runs: where it listens, and what to type next. Pure.
 */
import { dirname, join, relative } from 'node:path'
import type { Slices } from '../../shared/config/slices.ts'
import type { Where } from './ports.ts'

export interface BannerFacts {
  build: string
  configFile: string
  slices: Slices
  addresses: Readonly<Record<string, Where>>
  missing: readonly string[]
  /** Where the programs are. */
  commands: string
  /** The mailbox to try, as an address and a Maildir, when the config has one. */
  example: { address: string; maildir: string } | null
  workingDirectory: string
}

export function renderBanner(facts: BannerFacts): string {
  const { build, slices, missing } = facts
  const lines = [`Posthorn ${build} runs, queue in ${near(facts, slices.qmgr.spool)}. It listens on`]
  for (const [name, where] of Object.entries(facts.addresses))
    lines.push(`  ${name.padEnd(12)} ${place(facts, where)}`)
  if (missing.length > 0) lines.push('Off here:', ...missing.map((sentence) => `  ${sentence}`))
  return `${[...lines, '', ...tries(facts)].join('\n')}\n`
}

function tries(facts: BannerFacts): string[] {
  const { example, slices, configFile } = facts
  const program = (name: string) => `node ${near(facts, join(facts.commands, `${name}.js`))}`
  const posthorn = `${program('posthorn')} -c ${near(facts, configFile)}`
  const socket = slices.mcp.listeners.find(({ endpoint }) => endpoint.kind === 'unix')?.endpoint
  const lines = ['In another terminal:']
  if (example && socket?.kind === 'unix') {
    lines.push(
      '  send    ' +
        `printf 'Subject: hello\\n\\nIt works.\\n' | ${program('sendmail')} ` +
        `--socket ${near(facts, socket.path)} ${example.address}`,
      `  read    cat ${near(facts, example.maildir)}/new/*`,
    )
  }
  lines.push(`  queue   ${posthorn} queue list`, `  stop    ${posthorn} stop    (or press ctrl-C here)`)
  return lines
}

function place(facts: BannerFacts, where: Where): string {
  return 'path' in where ? near(facts, where.path) : `${where.address} port ${where.port}`
}

/** As a path from where the caller stands, when that is the shorter way to say it. */
function near({ workingDirectory }: BannerFacts, path: string): string {
  const short = relative(workingDirectory, path) || '.'
  return short.startsWith('..') && dirname(short) !== '..' ? path : short
}
