/**
 * A user with a home, accounts.conf and providers, for tests of `posthorn agent`: the built programs run with that
 * home and nothing else in their environment. Providers are smtp-server's with TLS and AUTH, on ports of their own.
 *
 * `close` ends the agent by the pid in its lock and removes everything.
 */
import { execFile, type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { isAlive } from '../support/processes.ts'
import { until } from '../support/wait.ts'

/** For `localhost` and 127.0.0.1; signed by itself. */
export const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgvqKjD9AI+MlSaips
FacOdsOAv4AWs8EKAf6iLKdztNihRANCAAQEZ0hQ6IKxZaOswbsDHz7zx0qPjb/h
0SKw8E2byaGI3zle7nJz8Ptm05WJarMxXsO+7u6pnd+X4WFz3ng72BLE
-----END PRIVATE KEY-----
`
export const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBojCCAUmgAwIBAgIUP+B9RbNQCbAzsTXL8THDPFfYM4IwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNcHJvdmlkZXIudGVzdDAgFw0yNjExMjExMjI5MTBaGA8yMTI1
MDYxNTEyMjkxMFowGDEWMBQGA1UEAwwNcHJvdmlkZXIudGVzdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABARnSFDogrFlo6zBuwMfPvPHSo+Nv+HRIrDwTZvJoYjf
OV7ucnPw+2bTlYlqszFew77u7qmd35fhYXPeeDvYEsSjbzBtMB0GA1UdDgQWBBSe
TvITmLFy0nhVoiZOMYZtnUG9NTAfBgNVHSMEGDAWgBSeTvITmLFy0nhVoiZOMYZt
nUG9NTAPBgNVHRMBAf8EBTADAQH/MBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAA
ATAKBggqhkjOPQQDAgNHADBEAiB0yQ1g+VWd0YqgySRoF+/z6mXWDZXvJCYiPKKW
3R+30AIgXIkjX4cpe2qW1+Ap1guSdCaviNuy80SrxNlG5jdPgRg=
-----END CERTIFICATE-----
`

export interface Received {
  sender: string
  recipients: string[]
  content: string
  user: string
  secure: boolean
}

export interface Provider {
  port: number
  received: Received[]
  close: () => Promise<void>
}

/**
 * Takes user `ann` with password or token `s3cret`; `refuse` says what RCPT is answered with, '' for yes; `atDot` the
 * same for each recipient of LMTP behind the final dot.
 */
export async function openProvider(
  options: SMTPServerOptions = {},
  refuse: (address: string) => string = () => '',
  atDot: (address: string) => string = () => '',
): Promise<Provider> {
  const received: Received[] = []
  const server = new SMTPServer({
    key: KEY,
    cert: CERTIFICATE,
    authMethods: ['PLAIN', 'LOGIN', 'XOAUTH2'],
    logger: false,
    disableReverseLookup: true,
    onAuth: ({ username, password, accessToken }, _session, done) => {
      if (username === 'ann' && (password ?? accessToken) === 's3cret') done(null, { user: 'ann' })
      else done(new Error('wrong password'))
    },
    onRcptTo: ({ address }, _session, done) => {
      const said = refuse(address)
      if (said === '') return done()
      done(refusal(said))
    },
    onData: (stream, { envelope, user, secure }, done) => {
      const pieces: Buffer[] = []
      stream.on('data', (piece: Buffer) => pieces.push(piece))
      stream.on('end', () => {
        const all = envelope.rcptTo.map(({ address }) => address)
        const fates = all.map((address) => (atDot(address) === '' ? 'ok' : refusal(atDot(address))))
        received.push({
          sender: envelope.mailFrom === false ? '' : envelope.mailFrom.address,
          recipients: all.filter((_, at) => fates[at] === 'ok'),
          content: Buffer.concat(pieces).toString('latin1'),
          user: String(user ?? ''),
          secure,
        })
        if (options.lmtp) done(null, fates as unknown as string)
        else done()
      })
    },
    ...options,
  })
  server.on('error', () => undefined) // a client that does not believe the certificate
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  const { port } = server.server.address() as AddressInfo
  return { port, received, close: () => new Promise((done) => void server.close(done)) }
}

/** @param said `451 not yet` */
function refusal(said: string): Error {
  return Object.assign(new Error(said.slice(4)), { responseCode: Number(said.slice(0, 3)) })
}

export interface Outcome {
  code: number
  stdout: string
  stderr: string
}

export interface User {
  home: string
  env: Record<string, string>
  accounts: (text: string) => void
  sendmail: (argv: string[], message: string, env?: Record<string, string>) => Promise<Outcome>
  posthorn: (...argv: string[]) => Promise<Outcome>
  mailq: () => Promise<string>
  /** An agent in the foreground; without this one is started on demand. */
  startAgent: (env?: Record<string, string>) => Promise<() => string>
  stopAgent: () => Promise<void>
  /** Names in the outbox. */
  outbox: () => string[]
  agentPid: () => number | null
  close: () => Promise<void>
}

/** @param uid whom everything runs as and belongs to, without a runtime directory; the test's own user otherwise. */
export function newUser(uid: number | null = null): User {
  const home = mkdtempSync(join(tmpdir(), 'posthorn-agent-'))
  const state = join(home, '.local/state/posthorn')
  const config = join(home, '.config/posthorn')
  mkdirSync(config, { recursive: true, mode: 0o700 })
  mkdirSync(join(home, 'run'), { mode: 0o700 })
  writeFileSync(join(home, 'ca.pem'), CERTIFICATE)
  writeFileSync(join(home, 'key.pem'), KEY)
  const who = uid === null ? {} : { uid, gid: uid }
  const runtime = uid === null ? { XDG_RUNTIME_DIR: join(home, 'run') } : {}
  const env = { HOME: home, PATH: process.env['PATH'] ?? '', ...runtime }
  const own = () => {
    if (uid !== null) spawnSync('chown', ['-R', `${uid}:${uid}`, home])
  }
  own()
  const agentPid = () => pidIn(join(state, 'agent.lock'))
  const run = (program: string, argv: string[], input: string, more: Record<string, string> = {}) =>
    runProgram(program, argv, input, { env: { ...env, ...more }, ...who })
  const stopAgent = async () => {
    const pid = agentPid()
    if (pid === null || !isAlive(pid)) return
    process.kill(pid)
    await until('the agent to end', () => !isAlive(pid))
  }
  return {
    home,
    env,
    agentPid,
    stopAgent,
    accounts: (text) => {
      writeFileSync(join(config, 'accounts.conf'), text, { mode: 0o600 })
      own()
    },
    sendmail: (argv, message, more) => run('sendmail', argv, message, more),
    posthorn: (...argv) => run('posthorn', argv, ''),
    mailq: async () => (await run('mailq', [], '')).stdout,
    startAgent: (more = {}) => startAgent({ env: { ...env, ...more }, ...who }),
    outbox: () => namesIn(join(state, 'outbox')),
    close: async () => {
      await stopAgent()
      rmSync(home, { recursive: true, force: true })
    },
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function pidIn(path: string): number | null {
  try {
    return Number(readFileSync(path, 'utf8')) || null
  } catch {
    return null
  }
}

/** Gives what it has said so far. */
async function startAgent(options: SpawnOptions): Promise<() => string> {
  const child = spawn(process.execPath, [resolve('dist/commands/posthorn.js'), 'agent'], {
    ...options,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr?.on('data', (piece: Buffer) => {
    said += piece.toString()
  })
  await until('the agent to be ready', () => {
    if (child.exitCode !== null) throw new Error(`the agent left: ${said}`)
    return said.includes('ready')
  })
  return () => said
}

function runProgram(name: string, argv: string[], input: string, options: SpawnOptions): Promise<Outcome> {
  return new Promise((done) => {
    const program = resolve(`dist/commands/${name}.js`)
    const child = execFile(process.execPath, [program, ...argv], options, (error, stdout, stderr) => {
      done({ code: error ? Number(error.code ?? -1) : 0, stdout: String(stdout), stderr: String(stderr) })
    })
    child.stdin?.on('error', () => undefined) // it may leave without reading
    child.stdin?.end(input)
  })
}

/** What most accounts here have in common. */
export function accountText(name: string, port: number, more = ''): string {
  return `account "${name}" {
  host "127.0.0.1" port ${port};
  tls-trust "~/ca.pem";
  auth user "ann";
  password-command "echo s3cret";
  ${more}
};
`
}
