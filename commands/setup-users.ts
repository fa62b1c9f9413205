/**
 * `posthorn setup-users`: the system users that the processes become, and the group that opens their buses.
 *
 * Each user owns nothing but its process, has no shell, no home and no password, and a group of its own: a file of
 * root, mode 0440, can be for one of them alone, which may read it and not change it. What exists is left as it is, so
 * it may be run again. `--print` shows the lines for an administrator who would rather run them, or put them into
 * a package, himself. Done with shadow's `groupadd` and `useradd`, which every Debian has.
 *
 * Fails: without root, or when a line fails: the rest is not run, and the exit code says so.
 */
import { spawnSync } from 'node:child_process'
import { systemAccounts } from '../shared/config/accounts.ts'

const GROUP = 'posthorn'
const USERS: readonly { name: string; does: string }[] = [
  { name: 'phq', does: 'Posthorn queue' },
  { name: 'phs', does: 'Posthorn SMTP server' },
  { name: 'phm', does: 'Posthorn submission server' },
  { name: 'phc', does: 'Posthorn SMTP client' },
  { name: 'phr', does: 'Posthorn resolver' },
  { name: 'phv', does: 'Posthorn DNSSEC validator' },
]

export interface Line {
  /** What it makes. */
  name: string
  kind: 'group' | 'user'
  command: readonly string[]
}

export const setupLines: readonly Line[] = [
  { name: GROUP, kind: 'group', command: ['groupadd', '--system', GROUP] },
  ...USERS.map(({ name, does }) => ({
    name,
    kind: 'user' as const,
    command: [
      ...['useradd', '--system', '--user-group'],
      ...['--no-create-home', '--home-dir', '/nonexistent'],
      ...['--shell', '/usr/sbin/nologin', '--comment', does, name],
    ],
  })),
]

const EXIT_FAILED = 1
const EXIT_FORBIDDEN = 77

/** An exit code: all there, one line failed, no right to. */
export type SetupExit = 0 | typeof EXIT_FAILED | typeof EXIT_FORBIDDEN

export function setupUsers(
  argv: readonly string[],
  print: (text: string) => void = (text) => void process.stdout.write(text),
): SetupExit {
  if (argv.includes('--print')) {
    print(setupLines.map(({ command }) => `${renderLine(command)}\n`).join(''))
    return 0
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write('posthorn: only root can make users; --print shows what would be run\n')
    return EXIT_FORBIDDEN
  }
  return makeMissing(print)
}

function makeMissing(print: (text: string) => void): SetupExit {
  const accounts = systemAccounts()
  for (const { name, kind, command } of setupLines) {
    if ((kind === 'group' ? accounts.group(name) : accounts.user(name)) !== null) continue
    const [program = '', ...words] = command
    const { status, error } = spawnSync(program, words, { stdio: ['ignore', 'ignore', 'inherit'] })
    if (status !== 0) {
      process.stderr.write(`posthorn: ${renderLine(command)}: ${error?.message ?? `exit ${status}`}\n`)
      return EXIT_FAILED
    }
    print(`made ${kind} ${name}\n`)
  }
  return 0
}

function renderLine(command: readonly string[]): string {
  return command.map((word) => (/^[\w./-]+$/.test(word) ? word : `'${word}'`)).join(' ')
}
