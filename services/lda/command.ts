/**
 * A message given to a command, as the user whose mail it is: whole, on standard input, and only then.
 *
 * The command is the leader of a process group of its own, in the home of the user, with the environment of
 * `command-line.ts` and no descriptor but 0, 1 and 2. It may not gain privileges (mcp started us so), and dies with us.
 * What it says goes to the log, MOST_WORDS octets of it; more is read and dropped. After `timeout` it is killed; once it
 * has left, so is all that it left behind (`leftovers.ts`).
 *
 * Fails: with `CommandFailed`, which carries the outcome.
 */
import { closeSync, constants, openSync } from 'node:fs'
import { type Child, startCommand } from './child.ts'
import { CommandFailed, commandLater, outcomeOf } from './command-outcome.ts'
import type { Gathered } from './gathered.ts'
import { commandStarted, killLeftovers } from './leftovers.ts'

const MOST_WORDS = 2048
/** For its pipes to close, once all of it is dead. */
const LAST_WORDS_MS = 2000

export interface CommandTerms {
  words: readonly string[]
  env: Record<string, string>
  home: string
  /** Milliseconds. */
  timeout: number
  mark: string
  /** For the log, when it has something to say and takes the message all the same. */
  onWords: (said: string) => void
}

interface Exit {
  code: number | null
  signal: string | null
  late: boolean
}

export async function runCommand(message: Gathered, terms: CommandTerms): Promise<void> {
  const child = start(message, terms)
  const said = listen(child)
  const exit = await ended(child, terms.timeout)
  await killLeftovers(child.pid ?? 0, terms.mark)
  await closed(child)
  const words = said().trim()
  if (exit.late) throw new CommandFailed(words, commandLater('the command took too long'))
  const outcome = outcomeOf(exit.code, exit.signal)
  if (outcome) throw new CommandFailed(words, outcome)
  if (words !== '') terms.onWords(words)
}

function start(message: Gathered, { words, env, home }: CommandTerms): Child {
  const input = message.descriptor === null ? null : reopened(message.descriptor)
  try {
    const child = startCommand({ words, env, home, input })
    if (child.pid !== undefined) commandStarted(child.pid)
    child.on('error', () => undefined) // `ended` tells
    child.stdin?.on('error', () => undefined) // it may leave before it has read all; its exit says why
    child.stdin?.end(Buffer.concat([...message.read()]))
    return child
  } finally {
    if (input !== null) closeSync(input)
  }
}

/** For reading, from the beginning. */
function reopened(descriptor: number): number {
  return openSync(`/proc/self/fd/${descriptor}`, constants.O_RDONLY)
}

function listen({ stdout, stderr }: Child): () => string {
  let said = ''
  for (const stream of [stdout, stderr]) {
    stream?.on('error', () => undefined)
    stream?.setEncoding('utf8').on('data', (text: string) => {
      if (said.length < MOST_WORDS) said += text.slice(0, MOST_WORDS - said.length)
    })
  }
  return () => said
}

function ended(child: Child, timeout: number): Promise<Exit> {
  return new Promise((resolve, reject) => {
    let late = false
    const timer = setTimeout(() => {
      late = true
      killGroup(child.pid)
    }, timeout)
    child.once('error', (error) => {
      clearTimeout(timer)
      if (child.pid === undefined)
        reject(new CommandFailed(error.message, commandLater('the command cannot be run')))
    })
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, late })
    })
  })
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // there is nobody left in it
  }
}

/** Somebody who was not found may still hold its pipes. */
function closed({ stdout, stderr, stdin }: Child): Promise<void> {
  const open = [stdout, stderr].filter((stream) => stream && !stream.closed)
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      for (const stream of [stdin, stdout, stderr]) stream?.destroy()
      resolve()
    }
    const timer = setTimeout(finish, LAST_WORDS_MS)
    let left = open.length
    if (left === 0) return finish()
    for (const stream of open)
      stream?.once('close', () => {
        if (--left === 0) finish()
      })
  })
}
