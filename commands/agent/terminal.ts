/**
 * The question on the terminal that the agent was started on.
 *
 * What is no answer is asked again, a few times. The end of input and silence are no answer. ^C is none either, it
 * ends the agent, and then nobody is asked any more; so does a terminal that hangs up. Whatever happens the promise
 * is settled, and with `unknown` the message is held.
 * The terminal is opened for each question: ^D ends that one only, and it stays in the mode that its user knows.
 */
import { openSync, readFileSync } from 'node:fs'
import { createInterface, type Interface } from 'node:readline'
import { ReadStream } from 'node:tty'
import { type Answer, readAnswer } from './answer.ts'

export interface TerminalQuestion {
  text: string
  inQuestion: readonly string[]
  /** Milliseconds. */
  patience: number
}

const PROMPT = 'Send it? [y]es, [n]o, yes to all in these [d]omains, [a]lways to these: '
const ATTEMPTS = 3
const UNKNOWN: Answer = { kind: 'unknown' }
const ENDINGS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
let ending = false

export async function askTerminal({ text, inQuestion, patience }: TerminalQuestion): Promise<Answer> {
  const input = ending ? null : openTerminal()
  if (!input) return UNKNOWN
  const reader = createInterface({ input, output: process.stdout, terminal: false })
  const end = () => {
    ending = true
    reader.close()
  }
  for (const signal of ENDINGS) process.once(signal, end)
  input.once('close', () => reader.close())
  const timer = setTimeout(() => reader.close(), patience)
  try {
    process.stdout.write(`\n${text}`)
    return await converse(reader, inQuestion)
  } finally {
    clearTimeout(timer)
    for (const signal of ENDINGS) process.off(signal, end)
    reader.close()
    input.destroy()
  }
}

async function converse(reader: Interface, inQuestion: readonly string[]): Promise<Answer> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const line = await nextLine(reader)
    if (line === null) return UNKNOWN
    const answer = readAnswer(line, inQuestion)
    if (typeof answer !== 'string') return answer
    process.stdout.write(`${answer}\n`)
  }
  return UNKNOWN
}

/** Null: nobody is there. */
function openTerminal(): ReadStream | null {
  if (!process.stdin.isTTY || !process.stdout.isTTY || !inForeground()) return null
  try {
    const input = new ReadStream(openSync('/dev/tty', 'r'))
    input.on('error', () => input.destroy()) // EIO, when it hangs up
    return input
  } catch {
    return null
  }
}

/** proc_pid_stat(5): whoever reads a terminal in the background is stopped, and mail with it. */
function inForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1')
  const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return group === foreground
}

/** Null: there will be none. */
function nextLine(reader: Interface): Promise<string | null> {
  return new Promise((done) => {
    const ended = () => done(null)
    reader.once('close', ended)
    try {
      reader.question(PROMPT, (line) => {
        reader.off('close', ended)
        done(line)
      })
    } catch {
      ended() // it closed behind the last line
    }
  })
}
