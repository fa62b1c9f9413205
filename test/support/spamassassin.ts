/**
 * Debian's SpamAssassin behind its milter, in the foreground and with one rule of its own: spamd on loopback, which gives
 * 20 points for `X-Want: spam` and 6 for `X-Want: mark`, and spamass-milter, which asks it by spamc. No DNS, no other rules.
 *
 * Fails: null where the packages cannot be had.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianPrograms } from './debian.ts'
import { freePort } from './postfix.ts'
import { until } from './wait.ts'

export interface SpamAssassin {
  /** The milter is gone; spamd lives on. */
  killMilter: () => Promise<void>
  stop: () => Promise<void>
}

const rules = `
required_score 5
report_safe 0
use_bayes 0
dns_available no
header WANTS_SPAM X-Want =~ /spam/
score WANTS_SPAM 20
header WANTS_MARK X-Want =~ /mark/
score WANTS_MARK 6
rewrite_header Subject *SPAM*
add_header spam Flag _YESNOCAPS_
add_header all Status "_YESNO_, score=_SCORE_ required=_REQD_ tests=_TESTS_ version=_VERSION_"
`

/** Modules of the unpacked perl and of what is unpacked beside it. */
const MODULES = [
  'usr/share/perl5',
  'usr/lib/x86_64-linux-gnu/perl5/5.36',
  'usr/share/perl/5.36',
  'usr/lib/x86_64-linux-gnu/perl/5.36',
  'usr/lib/x86_64-linux-gnu/perl-base',
]

/** @param socket where the milter listens; it rejects from 15 points on. */
export async function startSpamAssassin(directory: string, socket: string): Promise<SpamAssassin | null> {
  const programs = debianPrograms('spamassassin', 'spamd', 'spamc', 'spamass-milter')
  const [spamd, milter] = [programs?.find('spamd'), programs?.find('spamass-milter')]
  if (!programs || !spamd || !milter) return null
  const own = join(directory, 'rules')
  mkdirSync(own, { recursive: true })
  writeFileSync(join(own, 'init.pre'), 'loadplugin Mail::SpamAssassin::Plugin::Check\n')
  writeFileSync(join(own, 'local.cf'), rules)
  // as root it becomes nobody, who must be able to read that
  chmodSync(directory, 0o755)
  const port = String(await freePort())
  const modules = MODULES.map((one) => join(programs.folder, one)).filter(existsSync)
  const words = [
    `--siteconfigpath=${own}`,
    `--configpath=${own}`,
    '--local',
    '--nouser-config',
    '--max-children=1',
  ]
  const who = process.getuid?.() === 0 ? ['--username=nobody'] : []
  const { env } = programs
  const server = spawn(
    'perl',
    [
      '-T',
      ...modules.map((one) => `-I${one}`),
      spamd,
      ...words,
      ...who,
      '-i',
      '127.0.0.1',
      '-p',
      port,
      '-s',
      'stderr',
    ],
    { cwd: directory, env, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  await said(server, /server pid/)
  const client = spawn(
    findingByPath(milter, directory),
    ['-p', socket, '-r', '15', '--', '-d', '127.0.0.1', '-p', port, '-x'],
    {
      ...{ cwd: directory, env, stdio: 'ignore' },
    },
  )
  await until('the socket of spamass-milter', () => {
    if (client.exitCode !== null) throw new Error(`spamass-milter left with ${client.exitCode}`)
    return existsSync(socket)
  })
  const killMilter = () => end(client)
  return { killMilter, stop: async () => void (await Promise.all([end(client), end(server)])) }
}

/** The milter asks `/usr/bin/spamc`, which is not there where nothing is installed: in a copy it is any on the PATH. */
function findingByPath(program: string, directory: string): string {
  const octets = readFileSync(program)
  const name = '/usr/bin/spamc'
  const at = octets.indexOf(`${name}\0`)
  if (at < 0) throw new Error(`${program} does not name ${name}`)
  octets.write('spamc'.padEnd(name.length, '\0'), at, 'latin1')
  const copy = join(directory, 'spamass-milter')
  writeFileSync(copy, octets, { mode: 0o755 })
  return copy
}

async function said(child: ChildProcess, words: RegExp): Promise<void> {
  let text = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString('utf8')).slice(-10_000)
  })
  await until('spamd to be ready', () => {
    if (child.exitCode !== null) throw new Error(`spamd left with ${child.exitCode}: ${text}`)
    return words.test(text)
  })
}

async function end(child: ChildProcess): Promise<void> {
  const left = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null
  child.kill('SIGTERM')
  await left
}
