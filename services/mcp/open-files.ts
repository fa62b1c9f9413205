/**
 * Descriptors: what the config's limits can take, and the system's limit raised to that where we may (as root). Where we
 * may not, `provideFiles` says so in a sentence for each process: it goes to the log, `posthorn status` and the terminal.
 *
 * A server takes one for each session and one for each filter that it talks to meanwhile; the queue manager one for each
 * large message on its way in or out; smtpc is reckoned with BUSY destinations at their `max-connections`. More of them
 * than there are descriptors costs no mail: what cannot be opened is tried again.
 */
import type { Slices } from '../../shared/config/slices.ts'
import { openFileLimit, setOpenFileLimit } from '../../shared/system/open-files.ts'

/** Buses, logs, certificates, the database. */
const OWN = 64
const BUSY = 50

type Needy = 'smtpd' | 'submission' | 'smtpc' | 'qmgr'

interface Limited {
  qmgr: Pick<Slices['qmgr'], 'sessionLimit' | 'maxConcurrency'>
  smtpd: { listeners: readonly Bounded[] }
  submission: { listeners: readonly Bounded[] }
}
type Bounded = Pick<Slices['smtpd']['listeners'][number], 'sessionLimit' | 'filters'>

/** Pure. */
export function filesNeeded({ qmgr, smtpd, submission }: Limited): Record<Needy, number> {
  const outgoing = BUSY * qmgr.maxConcurrency
  return {
    smtpd: OWN + serving(smtpd.listeners),
    submission: OWN + serving(submission.listeners),
    smtpc: OWN + outgoing,
    qmgr: OWN + qmgr.sessionLimit + outgoing,
  }
}

function serving(listeners: readonly Bounded[]): number {
  return listeners.reduce(
    (sum, { sessionLimit, filters }) => sum + 1 + sessionLimit * (1 + filters.length),
    0,
  )
}

/** @param workers that run already, by pid; those to come have our own limit. */
export function provideFiles(slices: Limited, workers: readonly number[]): string[] {
  const needed = filesNeeded(slices)
  const most = Math.max(...Object.values(needed))
  for (const pid of [process.pid, ...workers]) {
    const limit = openFileLimit(pid)
    if (limit !== null && limit < most) setOpenFileLimit(pid, most)
  }
  const limit = openFileLimit(process.pid) ?? Number.POSITIVE_INFINITY
  return Object.entries(needed).flatMap(([name, files]) =>
    files > limit ? [shortage(name, files, limit)] : [],
  )
}

function shortage(name: string, files: number, limit: number): string {
  return `${name} may have ${limit} files and connections open, and the config allows for ${files}: raise the limit (LimitNOFILE= of systemd, \`ulimit -n\`) or lower session-limit`
}
