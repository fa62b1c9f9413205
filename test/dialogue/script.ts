/**
 * Dialogue files: what a client says and what the server must answer, line by line.
 *
 *   # a comment              set NAME VALUE   an option of the listener, at the top of the file; `bounds.hops` too
 *   with NAME [WORDS]        how it is around the session, at the top of the file: see `scenes.ts`
 *   C: a line of the client, CRLF added; lines that follow each other leave in one write
 *   R: octets of the client as they are, \r \n \0 \\ \xHH, and \{300*x} for 300 times x
 *   E: an event: `tls` (the client begins the handshake), `drain` (smtpd is to leave), `silence` (of the client), `late content` (or
 *      another deadline of `patience`, which is set so short that it comes of itself)
 *   S: a line of the server; `*` stands for anything
 *   S: 250-...   all lines that come now and begin with 250-
 *   S: (close)               the server ends the connection
 */
import { readdirSync, readFileSync } from 'node:fs'
import type { AuthSlice } from '../../shared/config/login-slices.ts'
import type { ListenerSlice } from '../../shared/config/slices.ts'
import { STAGE_PASSWORDS, stageBounds, stagePatience } from '../system/smtpd-stage.ts'
import { type Scene, scenes } from './scenes.ts'

export const events = [
  'tls',
  'drain',
  'silence',
  'late hello',
  'late login',
  'late envelope',
  'late content',
  'late session',
] as const
export type EventName = (typeof events)[number]

export type Turn =
  | { who: 'client'; octets: Buffer }
  | { who: 'server'; lines: string[] }
  | { who: 'event'; event: EventName }

export interface Script {
  name: string
  options: Partial<ListenerSlice>
  scene: Scene
  turns: Turn[]
}

export const CLOSE = '(close)'
/** Stands for any number of lines that begin like it. */
export const MORE = /^\d{3}-\.\.\.$/
const FOLDER = 'test/dialogue'
const ESCAPE = /\\(r|n|0|\\|x[0-9a-f]{2})/gi
const REPEATED = /\\\{(\d+)\*(.)\}/g

export function readScripts(): Script[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.txt'))
    .map((name) => parseScript(name, readFileSync(`${FOLDER}/${name}`, 'utf8')))
}

function parseScript(name: string, text: string): Script {
  const script: Script = { name, options: {}, scene: {}, turns: [] }
  text.split('\n').forEach((line, n) => {
    if (line === '' || line.startsWith('#')) return
    if (line.startsWith('set ')) Object.assign(script.options, option(line, script.options))
    else if (line.startsWith('with ')) setUp(script, line.slice(5))
    else if (line.startsWith('E: ')) script.turns.push({ who: 'event', event: eventOf(line.slice(3)) })
    else if (/^C:( |$)/.test(line)) client(script, Buffer.from(`${line.slice(3)}\r\n`))
    else if (line.startsWith('R: ')) client(script, octetsOf(line.slice(3)))
    else if (line.startsWith('S: ')) server(script, line.slice(3))
    else throw new Error(`${name}:${n + 1}: neither C: nor S: ${line}`)
  })
  return script
}

function setUp(script: Script, words: string): void {
  const [name = '', ...rest] = words.split(' ')
  const made = scenes[name]?.(rest.join(' '))
  if (!made) throw new Error(`${script.name}: no scene ${name}`)
  Object.assign(script.options, made.listener)
  script.scene = { ...script.scene, ...made, answers: { ...script.scene.answers, ...made.answers } }
}

function eventOf(words: string): EventName {
  const found = events.find((one) => one === words)
  if (!found) throw new Error(`no event ${words}`)
  return found
}

/** The stage's password file: anna, secret. */
const PASSWORDS: AuthSlice = {
  ...{ name: 'users', certificates: false, oauth: null, mechanisms: [] },
  passwords: { kind: 'file', path: STAGE_PASSWORDS },
}

const LISTS = new Set(['allow', 'relay', 'proxy', 'xclient', 'xforward', 'vrfy', 'expn', 'etrn'])

function option(line: string, before: Partial<ListenerSlice>): Partial<ListenerSlice> {
  const [, name = '', value = ''] = line.split(' ')
  if (name === 'auth') return { auth: { use: PASSWORDS, required: true, withoutTls: value === 'required' } }
  if (name === 'senderLogin') return { senderLogin: { kind: 'file', path: value } }
  if (LISTS.has(name)) return { [name]: [{ negated: false, network: value }] }
  const read = /^\d+$/.test(value) ? Number(value) : value
  const bound = /^bounds\.(\w+)$/.exec(name)?.[1]
  if (bound !== undefined) return { bounds: { ...(before.bounds ?? stageBounds), [bound]: read } }
  const wait = /^tarpit\.(after|delay)$/.exec(name)?.[1]
  if (wait !== undefined)
    return { tarpit: { ...(before.tarpit ?? { after: 0, delay: 0, sessions: 100 }), [wait]: read } }
  const part = /^patience\.(\w+)$/.exec(name)?.[1]
  if (part !== undefined) return { patience: { ...(before.patience ?? stagePatience), [part]: read } }
  return { [name]: read } as Partial<ListenerSlice>
}

function octetsOf(text: string): Buffer {
  const repeated = text.replace(REPEATED, (_, times: string, what: string) => what.repeat(Number(times)))
  const plain = Buffer.from(repeated).toString('latin1')
  const meaning: Record<string, string> = { r: '\r', n: '\n', '0': '\0', '\\': '\\' }
  const octets = plain.replace(ESCAPE, (_, code: string) =>
    code.length > 1 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : (meaning[code] ?? ''),
  )
  return Buffer.from(octets, 'latin1')
}

function client(script: Script, octets: Buffer): void {
  const last = script.turns.at(-1)
  if (last?.who === 'client') last.octets = Buffer.concat([last.octets, octets])
  else script.turns.push({ who: 'client', octets })
}

function server(script: Script, line: string): void {
  const last = script.turns.at(-1)
  if (last?.who === 'server') last.lines.push(line)
  else script.turns.push({ who: 'server', lines: [line] })
}

export function matchesLine(expected: string, line: string): boolean {
  const parts = expected.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(line)
}
