/**
 * "May this go out?": asked of a command, or of the terminal that the agent was started on (`terminal.ts`).
 *
 * The answers (`answer.ts`) are yes, no, and unknown, when nobody is there to say; then the message is held. One
 * question at a time. What stands in a question comes from programs, so nothing in it can play tricks on a terminal.
 */
import { spawn } from 'node:child_process'
import { printable } from '../../shared/config/problem.ts'
import type { Account } from '../accounts/account.ts'
import { type Answer, answerOfCommand } from './answer.ts'
import { askTerminal } from './terminal.ts'

export interface Question {
  account: string
  program: string
  from: string
  recipients: readonly string[]
  subject: string
  /** Those recipients that a yes must cover. */
  inQuestion: readonly string[]
}

/** sendmail waits longer than this. */
const PATIENCE_MS = 120_000
const MOST_SHOWN = 20

export function renderQuestion({
  account,
  program,
  from,
  recipients,
  subject,
}: Omit<Question, 'inQuestion'>): string {
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
  const { command } = account.confirm
  const ask = () =>
    command === null
      ? askTerminal({
          text: renderQuestion(question),
          inQuestion: question.inQuestion,
          patience: PATIENCE_MS,
        })
      : askCommand(command, question)
  const answer = last.then(ask, ask)
  last = answer
  return answer
}

const MOST_PRINTED = 10_000
const LINGER_MS = 1000

/** By its exit code, and the patterns that it may print; whatever else it does says nothing. */
function askCommand(command: string, question: Question): Promise<Answer> {
  return new Promise((done) => {
    const child = spawn('/bin/sh', ['-c', command], {
      stdio: ['pipe', 'pipe', 'inherit'],
      timeout: PATIENCE_MS,
    })
    let printed = ''
    child.stdout.on('data', (octets: Buffer) => {
      if (printed.length < MOST_PRINTED) printed += octets.toString('latin1')
    })
    const end = () => done(answerOfCommand(child.exitCode, printed, question.inQuestion))
    child.once('error', () => done({ kind: 'unknown' }))
    child.once('close', end)
    child.once('exit', () => setTimeout(end, LINGER_MS)) // what it left running may hold its output open
    child.stdin.on('error', () => undefined) // it need not read the question
    child.stdin.end(renderQuestion(question))
  })
}
