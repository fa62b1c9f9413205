/**
 * Both ends of the load: Postfix's `smtp-source`, which sends, and `smtp-sink`, which takes and counts. They are
 * taken from the machine or unpacked from Debian's package (`test/support/debian.ts`).
 *
 * The sink writes its counters into a file after each message, so that nobody is woken by them; whoever wants to
 * know reads the end of it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianPrograms, type Programs } from '../support/debian.ts'
import { freePort } from '../support/postfix.ts'
import { until } from '../support/wait.ts'
import type { Case } from './options.ts'

const TAIL_OCTETS = 200

export interface CountingSink {
  port: number
  pid: number
  /** Messages taken since it was started. */
  count: () => number
  stop: () => Promise<void>
}

/** @throws Error when the tools cannot be had here. */
export function findTools(): Programs {
  const tools = debianPrograms('postfix')
  if (!tools?.find('smtp-source') || !tools.find('smtp-sink'))
    throw new Error("smtp-source and smtp-sink are needed: Debian's package postfix")
  return tools
}

export async function startSink(tools: Programs): Promise<CountingSink> {
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-sink-'))
  const file = openSync(join(folder, 'counters'), 'a+')
  const port = await freePort()
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const child = spawn(tools.find('smtp-sink') ?? '', [...user, '-c', `127.0.0.1:${port}`, '1024'], {
    stdio: ['ignore', file, 'inherit'],
    env: tools.env,
  })
  await until('smtp-sink to listen', () => canConnect(port))
  return {
    port,
    pid: child.pid ?? 0,
    count: () => lastCount(file),
    stop: async () => {
      await end(child)
      closeSync(file)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Sends the load; resolves with the seconds it took when all has been accepted, rejects when not all was. */
export async function sendLoad(
  tools: Programs,
  server: { port: number; recipient: string },
  load: Case,
  messages: number,
  signal: AbortSignal,
): Promise<number> {
  const words = ['-s', load.sessions, '-m', messages, '-l', load.size, '-r', load.recipients].map(String)
  const addresses = ['-f', 'sender@client.example', '-t', server.recipient]
  const keep = load.reconnect ? [] : ['-d'] // -d: do not disconnect after a message
  const began = performance.now()
  const child = spawn(
    tools.find('smtp-source') ?? '',
    [...keep, ...words, ...addresses, `127.0.0.1:${server.port}`],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: tools.env,
      signal,
    },
  )
  let trouble = ''
  child.stderr.on('data', (text: Buffer) => {
    trouble += text.toString()
  })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`smtp-source left with ${code}: ${trouble.slice(0, 500)}`)
  return (performance.now() - began) / 1000
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function lastCount(file: number): number {
  const { size } = fstatSync(file)
  const tail = Buffer.alloc(Math.min(TAIL_OCTETS, size))
  readSync(file, tail, 0, tail.length, size - tail.length)
  const counts = [...tail.toString('latin1').matchAll(/mesg=(\d+)\s*\r/g)]
  return Number(counts.at(-1)?.[1] ?? 0)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}
