/**
 * Policy servers for tests: Debian's postgrey and policyd-spf, each as its users run it, and one that answers what it
 * is told. policyd-spf gets a process for each connection, as Postfix's spawn and systemd's sockets give it.
 *
 * Fails: null where a package cannot be had.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { debianPrograms } from './debian.ts'
import { until } from './wait.ts'

export interface PolicyServer {
  connections: () => number
  stop: () => Promise<void>
}

/** By the attributes of a question, its answer; null: the connection ends there. */
export type Answering = (question: ReadonlyMap<string, string>) => string | null

export async function startPolicy(path: string, answer: Answering): Promise<PolicyServer> {
  return listen(path, (socket) => {
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const lines = text.slice(0, end).split('\n')
        text = text.slice(end + 2)
        const said = answer(new Map(lines.map((line) => line.split(/=(.*)/s) as [string, string])))
        if (said === null) socket.destroy()
        else socket.write(`action=${said}\n\n`)
      }
    })
  })
}

/** @param nameServer its port on loopback. */
export async function startPolicydSpf(
  directory: string,
  path: string,
  nameServer: number,
): Promise<PolicyServer | null> {
  const programs = debianPrograms('postfix-policyd-spf-python')
  const program = programs?.find('policyd-spf')
  if (!programs || !program) return null
  mkdirSync(directory, { recursive: true })
  const conf = join(directory, 'policyd-spf.conf')
  writeFileSync(conf, 'debugLevel = 0\nHELO_reject = Fail\nMail_From_reject = Fail\n')
  // the library reads resolv.conf unless it knows a server
  const defaults = `DNS.defaults.update(server=['127.0.0.1'], port=${nameServer})`
  const dns = `import DNS\n${defaults}\nDNS.DiscoverNameServers = lambda: None\n`
  writeFileSync(join(directory, 'sitecustomize.py'), dns)
  const modules = `${directory}:${join(programs.folder, 'usr/lib/python3/dist-packages')}`
  const children = new Set<ChildProcess>()
  const server = await listen(path, (socket) => {
    const child = spawn('python3', [program, conf], { env: { ...programs.env, PYTHONPATH: modules } })
    children.add(child)
    child.on('exit', () => children.delete(child) && socket.destroy())
    child.stderr.pipe(process.stderr)
    socket.pipe(child.stdin.on('error', () => undefined))
    child.stdout.pipe(socket)
  })
  const stop = async () => {
    await server.stop()
    await Promise.all([...children].map((child) => child.kill() && once(child, 'exit')))
  }
  return { ...server, stop }
}

/**
 * @param delay seconds for which a stranger is put off.
 * @param known domains whose clients are not, by their name in DNS.
 */
export async function startPostgrey(
  directory: string,
  path: string,
  delay: number,
  known: readonly string[] = [],
): Promise<PolicyServer | null> {
  const programs = debianPrograms('postgrey')
  const program = programs?.find('postgrey')
  if (!programs || !program) return null
  mkdirSync(directory, { recursive: true })
  // it takes 0 for not given
  const [user, group] = ['-un', '-gn'].map((word) => execFileSync('id', [word], { encoding: 'utf8' }).trim())
  const native = join(programs.folder, 'usr/lib/x86_64-linux-gnu/perl5')
  const versions = existsSync(native) ? readdirSync(native).map((name) => join(native, name)) : []
  const modules = [join(programs.folder, 'usr/share/perl5'), ...versions].map((folder) => `-I${folder}`)
  const words = [`--unix=${path}`, `--dbdir=${directory}`, `--delay=${delay}`, '--max-age=1']
  const clients = join(directory, 'clients')
  writeFileSync(clients, known.map((domain) => `${domain}\n`).join(''))
  const lists = [`--whitelist-clients=${clients}`, '--whitelist-recipients=/dev/null']
  const child = spawn(
    'perl',
    ['-T', ...modules, program, ...words, ...lists, `--user=${user}`, `--group=${group}`],
    {
      env: programs.env,
      stdio: 'ignore',
    },
  )
  await until('the socket of postgrey', () => {
    if (child.exitCode !== null) throw new Error(`postgrey left with ${child.exitCode}`)
    return existsSync(path)
  })
  const stop = async () => {
    const left = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null
    child.kill('SIGTERM')
    await left
  }
  return { connections: () => 0, stop }
}

async function listen(path: string, serve: (socket: Socket) => void): Promise<PolicyServer> {
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined)
    serve(socket)
  })
  server.listen(path)
  await once(server, 'listening')
  const stop = async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  }
  return { connections: () => connections, stop }
}
