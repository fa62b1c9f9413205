/**
 * Debian's rspamd in the foreground with a config of its own: a normal worker (HTTP) and a proxy worker in milter mode,
 * no redis, no DNS, and one rule that does what the field X-Want of a message says.
 *
 * Fails: null where the package cannot be had.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { debianPrograms } from './debian.ts'
import { until } from './wait.ts'

export interface Rspamd {
  /** Where it speaks HTTP, and the milter protocol. */
  http: number
  milter: number
  stop: () => Promise<void>
}

const rules = `
rspamd_config.WANTED = { type = 'prefilter', score = 1.0, callback = function(task)
  local want = task:get_header('X-Want') or ''
  local from = (task:get_from('smtp') or {})[1]
  local seen = string.format('%s %s %d %s %d', tostring(task:get_ip()), from and from.addr or '',
    #(task:get_recipients('smtp') or {}), tostring(task:get_helo()), #tostring(task:get_rawbody()))
  task:set_milter_reply({ add_headers = { ['X-Seen'] = { value = seen, order = 0 } }, remove_headers = { ['X-Old'] = 0 } })
  if want == 'later' then task:set_pre_result('soft reject', 'Try again later') end
  local scores = { mark = 7, subject = 9, spam = 20 }
  return scores[want] ~= nil, scores[want] or 0
end }
`

function configOf(directory: string, http: number, milter: number): string {
  const at = (name: string) => `"${join(directory, name)}"`
  return `
options { pidfile = ${at('pid')}; filters = ""; tempdir = "${directory}"; hs_cache_dir = "${directory}"; rrd = "";
  dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; } url_tld = ${at('tlds')}; stats_file = "";
  cache_file = ${at('cache')}; control_socket = "${join(directory, 'control')} mode=0600"; history_file = ""; }
logging { type = "console"; level = "warning"; }
worker "normal" { bind_socket = "127.0.0.1:${http}"; mime = true; count = 1; }
worker "rspamd_proxy" { bind_socket = "127.0.0.1:${milter}"; milter = yes; count = 1; timeout = 30s;
  upstream "local" { default = yes; self_scan = yes; } }
actions { reject = 15; "add header" = 6; "rewrite subject" = 8; greylist = 4; subject = "*** %s"; }
lua = ${at('rules.lua')};
`
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address !== 'object' || !address) throw new Error('no port')
  return address.port
}

export async function startRspamd(directory: string): Promise<Rspamd | null> {
  const programs = debianPrograms('rspamd')
  const program = programs?.find('rspamd')
  if (!programs || !program) return null
  mkdirSync(directory, { recursive: true })
  const [http, milter] = [await freePort(), await freePort()]
  writeFileSync(join(directory, 'tlds'), 'com\norg\nexample\n')
  writeFileSync(join(directory, 'rules.lua'), rules)
  writeFileSync(join(directory, 'rspamd.conf'), configOf(directory, http, milter))
  const own = join(programs.folder, 'usr/share/rspamd')
  const places = { SHAREDIR: own, LUALIBDIR: join(own, 'lualib'), RULESDIR: join(own, 'rules') }
  const more = { PLUGINSDIR: join(own, 'plugins'), RUNDIR: directory, DBDIR: directory }
  const words = Object.entries({ ...places, ...more }).map(([name, value]) => `--var=${name}=${value}`)
  const libraries = `${join(programs.folder, 'usr/lib/rspamd')}:${programs.env['LD_LIBRARY_PATH'] ?? ''}`
  const child = spawn(program, ['-f', '-i', '-c', join(directory, 'rspamd.conf'), ...words], {
    // it leaves figures where it runs
    cwd: directory,
    env: { ...programs.env, LD_LIBRARY_PATH: libraries },
    stdio: 'ignore',
  })
  for (const port of [http, milter])
    await until('rspamd to listen', () => {
      if (child.exitCode !== null) throw new Error(`rspamd left with ${child.exitCode}`)
      return answers(port)
    })
  return { http, milter, stop: () => stop(child) }
}

async function stop(child: ChildProcess): Promise<void> {
  const left = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null
  child.kill('SIGTERM')
  await left
}

function answers(port: number): Promise<boolean> {
  return new Promise((told) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      told(true)
    })
    socket.on('error', () => told(false))
  })
}
