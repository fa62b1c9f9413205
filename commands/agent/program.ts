/**
 * Which program hands mail over, for the question "may it?". From the peer's pid by /proc, so it is advisory: pids
 * are used again, and any program of the user's may pretend. '' where nothing can be told.
 */
import { readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'

const INTERPRETERS = /^(?:[bdkz]?a?sh|node|nodejs|python[\d.]*|perl[\d.]*|php[\d.]*|ruby[\d.]*|env|sudo)$/

/** The caller of `sendmail`, or the peer itself when it speaks to the agent without it. */
export function programOf(pid: number): string {
  const peer = wordsOf(pid)
  const isSendmail = peer.some(
    (word, at) => at < 2 && /^(?:posthorn-)?sendmail(?:\.js)?$/.test(basename(word)),
  )
  return nameOf(isSendmail ? parentOf(pid) : pid)
}

function nameOf(pid: number): string {
  const program = attempt(() => readlinkSync(`/proc/${pid}/exe`)) ?? ''
  if (!INTERPRETERS.test(basename(program))) return program
  const [title = '', ...words] = wordsOf(pid)
  if (title.startsWith('posthorn: ')) return 'the mail server' // it does not say who brought the message
  const script = words.find((word) => !word.startsWith('-'))
  return script ?? program
}

function wordsOf(pid: number): string[] {
  return (attempt(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '').split('\0').slice(0, -1)
}

function parentOf(pid: number): number {
  const status = attempt(() => readFileSync(`/proc/${pid}/status`, 'utf8')) ?? ''
  return Number(/^PPid:\s*(\d+)$/m.exec(status)?.[1] ?? 0)
}

function attempt<T>(read: () => T): T | null {
  try {
    return read()
  } catch {
    return null // it has gone, or is none of ours
  }
}
