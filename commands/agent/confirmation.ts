/**
 * "May this go out?": asked of a command, or of the terminal that the agent was started on.
 *
 * The answers are yes, no, and unknown, when nobody is there to say; then the message is held. One question at a
 * time. What stands in a question comes from programs, so nothing in it can play tricks on a terminal.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline/promises'
import { printable } from '../../shared/config/problem.ts'
import type { Account } from '../accounts/account.ts'

/** domains: yes, and with `confirm first` to everybody in the recipients' domains. */
export type Answer = 'yes' | 'domains' | 'no' | 'unknown'

export interface Question {
  account: string
  program: string
  from: string
  recipients: readonly string[]
  subject: string
}

/** sendmail waits longer than this. */
const PATIENCE_MS = 120_000
const MOST_SHOWN = 20

export function renderQuestion({ account, program, from, recipients, subject }: Question): string {
  const shown = recipients.slice(0, MOST_SHOWN).join(', ')
  const more = recipients.length > MOST_SHOWN ? ` and ${recipients.length - MOST_SHOWN} more` : ''
  const lines = [
    ['Program', program || 'unknown'],
    ['Account', account],
    ['From', from || '<>'],
    ['To', shown + more],
    ['Subject', subject.slice(0, 200)],
  ]
  return lines.map(([name, value]) => `${name}: ${printable(value ?? '')}\n`).join('')
}

let last: Promise<unknown> = Promise.resolve()

export function askUser(account: Account, question: Question): Promise<Answer> {
  const text = renderQuestion(question)
  const { command } = account.confirm
  const ask = () => (command === null ? askTerminal(text) : askCommand(command, text))
  const answer = last.then(ask, ask)
  last = answer
  return answer
}

const BY_EXIT: Readonly<Record<number, Answer>> = { 0: 'yes', 1: 'no', 2: 'domains' }

/** By its exit code; whatever else it does says nothing. */
function askCommand(command: string, text: string): Promise<Answer> {
  return new Promise((done) => {
    const child = spawn('/bin/sh', ['-c', command], {
      stdio: ['pipe', 'ignore', 'inherit'],
      timeout: PATIENCE_MS,
    })
    child.once('error', () => done('unknown'))
    child.once('close', (code) => done(BY_EXIT[code ?? -1] ?? 'unknown'))
    child.stdin.on('error', () => undefined) // it need not read the question
    child.stdin.end(text)
  })
}

const BY_LETTER: Readonly<Record<string, Answer>> = { y: 'yes', n: 'no', d: 'domains' }

async function askTerminal(text: string): Promise<Answer> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return 'unknown'
  const reader = createInterface({ input: process.stdin, output: process.stdout })
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const said = await reader.question(`\n${text}Send it? [y]es, [n]o, yes to all in these [d]omains: `, {
      signal,
    })
    return BY_LETTER[said.trim().charAt(0).toLowerCase()] ?? 'unknown'
  } catch {
    return 'unknown'
  } finally {
    reader.close()
  }
}
