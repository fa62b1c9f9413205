/**
 * The one place where lda makes processes: `gpg`, which is ours, and commands that users and administrators name.
 *
 * Neither has more of us than three descriptors and the environment it is given. Commands lead a process group and a
 * session of their own, and die with us where setpriv is there to see to that.
 */
import {
  type ChildProcess,
  type ChildProcessWithoutNullStreams,
  type IOType,
  spawn,
} from 'node:child_process'
import { existsSync } from 'node:fs'
import { keepDescriptors } from '../../shared/system/orphans.ts'

const SETPRIV = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => existsSync(path))

export type Child = ChildProcess
export type PipedChild = ChildProcessWithoutNullStreams

export function startGpg(words: readonly string[], env: Record<string, string>): PipedChild {
  return spawn('gpg', words, { stdio: 'pipe', cwd: '/', env })
}

export interface CommandStart {
  words: readonly string[]
  env: Record<string, string>
  home: string
  /** A descriptor to read from; null: a pipe. */
  input: number | null
}

let kept = false

export function startCommand({ words, env, home, input }: CommandStart): Child {
  if (!kept) keepDescriptors()
  kept = true
  const guarded = SETPRIV ? [SETPRIV, '--pdeathsig', 'KILL', '--', ...words] : words
  const [program = '', ...rest] = guarded
  const stdin: IOType | number = input ?? 'pipe'
  return spawn(program, rest, { cwd: home, env, detached: true, stdio: [stdin, 'pipe', 'pipe'] })
}
