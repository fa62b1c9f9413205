/**
 * Dovecot's auth service, by its protocol for clients (version 1): passwords are checked there, and mechanisms that
 * it offers are spoken there, through us.
 *
 * One connection for all sessions of a listener, made when it is needed first and made anew after it was lost.
 * Lines are `COMMAND<TAB>…`; every request has a number. Fails: what gets no answer in PATIENCE_MS, or loses the
 * connection, is 'unknown'. A line over LONGEST_LINE ends the connection.
 */
import { connect, type Socket } from 'node:net'
import type { Log } from '../../shared/base/log.ts'
import type { Who } from './authenticator.ts'
import type { Verdict } from './sasl-step.ts'

/** Dovecot itself waits two seconds before it says no. */
const PATIENCE_MS = 30_000
const LONGEST_LINE = 64 << 10
const SERVICE = 'smtp'
const UNKNOWN: Verdict = { kind: 'unknown' }

interface Waiting {
  answered: (verdict: Verdict) => void
  patience: NodeJS.Timeout
}

export type Told =
  | { kind: 'done' }
  | { kind: 'mechanism'; name: string }
  | { kind: 'verdict'; id: number; verdict: Verdict; final: Buffer | null }
  | { kind: 'nonsense'; why: string }
  | { kind: 'other' }

/** What a line says to us. */
export function parseLine(line: string): Told {
  const [command = '', first = '', ...fields] = line.split('\t')
  switch (command) {
    case 'VERSION':
      return first === '1' ? { kind: 'other' } : { kind: 'nonsense', why: `version ${first}` }
    case 'MECH':
      return { kind: 'mechanism', name: first }
    case 'DONE':
      return { kind: 'done' }
    case 'OK': {
      const login = field(fields, 'user')
      const final = field(fields, 'resp')
      if (login === null) return { kind: 'nonsense', why: 'a login without a user' }
      const last = final === null ? null : Buffer.from(final, 'base64')
      return { kind: 'verdict', id: Number(first), verdict: { kind: 'true', login }, final: last }
    }
    case 'FAIL':
      return {
        kind: 'verdict',
        id: Number(first),
        verdict: { kind: fields.includes('temp') ? 'unknown' : 'false' },
        final: null,
      }
    case 'CONT': {
      const data = Buffer.from(fields[0] ?? '', 'base64')
      return { kind: 'verdict', id: Number(first), verdict: { kind: 'challenge', data }, final: null }
    }
    default:
      return { kind: 'other' }
  }
}

function field(fields: readonly string[], name: string): string | null {
  return fields.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1) ?? null
}

export class Dovecot {
  readonly #path: string
  readonly #log: Log
  readonly #waiting = new Map<number, Waiting>()
  readonly #finals = new Map<number, Buffer>()
  #mechanisms = new Set<string>()
  #socket: Socket | null = null
  #ready: Promise<boolean> | null = null
  #partial = ''
  #requests = 0

  constructor(path: string, log: Log) {
    this.#path = path
    this.#log = log
    // to know what it offers
    void this.#connected()
  }

  offers(mechanism: string): boolean {
    if (!this.#ready) void this.#connected()
    return this.#mechanisms.has(mechanism)
  }

  checkPassword(login: string, password: string, who: Who): Promise<Verdict> {
    return this.begin('PLAIN', Buffer.from(`\0${login}\0${password}`), who).verdict()
  }

  begin(mechanism: string, initial: Buffer | null, who: Who): DovecotExchange {
    this.#requests = (this.#requests % 0x7fffffff) + 1
    return new DovecotExchange(this.#requests, this, { mechanism, initial, who })
  }

  /** One line there, one verdict back. */
  async ask(id: number, line: string): Promise<Verdict & { final?: Buffer }> {
    if (!(await this.#connected())) return UNKNOWN
    return new Promise((resolve) => {
      const answered = (verdict: Verdict) => {
        const final = this.#finals.get(id)
        this.#finals.delete(id)
        resolve(final ? { ...verdict, final } : verdict)
      }
      const patience = setTimeout(() => this.#settle(id, UNKNOWN), PATIENCE_MS)
      this.#waiting.set(id, { answered, patience })
      this.#socket?.write(`${line}\n`)
    })
  }

  close(): void {
    this.#socket?.destroy()
  }

  #connected(): Promise<boolean> {
    this.#ready ??= this.#connect()
    return this.#ready
  }

  #connect(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.#path)
      const patience = setTimeout(() => socket.destroy(), PATIENCE_MS)
      const greeted = (well: boolean) => {
        clearTimeout(patience)
        resolve(well)
      }
      this.#socket = socket
      this.#partial = ''
      socket.setEncoding('latin1').unref()
      socket.on('data', (text) => this.#heard(String(text), greeted))
      socket.on('error', (error) =>
        this.#log.error({ socket: this.#path, why: error.message }, 'dovecot does not answer'),
      )
      socket.on('close', () => {
        greeted(false)
        this.#lost(socket)
      })
      socket.write(`VERSION\t1\t1\nCPID\t${process.pid}\n`)
    })
  }

  #lost(socket: Socket): void {
    if (this.#socket !== socket) return
    this.#socket = null
    this.#ready = null
    this.#mechanisms = new Set()
    for (const id of [...this.#waiting.keys()]) this.#settle(id, UNKNOWN)
  }

  #heard(text: string, greeted: (well: boolean) => void): void {
    const lines = (this.#partial + text).split('\n')
    this.#partial = lines.pop() ?? ''
    if (this.#partial.length > LONGEST_LINE) return void this.#socket?.destroy()
    for (const line of lines) this.#take(parseLine(line), greeted)
  }

  #take(told: Told, greeted: (well: boolean) => void): void {
    switch (told.kind) {
      case 'mechanism':
        this.#mechanisms.add(told.name)
        return
      case 'done':
        return greeted(true)
      case 'nonsense':
        this.#log.error({ socket: this.#path, why: told.why }, 'dovecot talks nonsense')
        return void this.#socket?.destroy()
      case 'verdict':
        if (told.final) this.#finals.set(told.id, told.final)
        return this.#settle(told.id, told.verdict)
      case 'other':
        return
      default:
        return told satisfies never
    }
  }

  #settle(id: number, verdict: Verdict): void {
    const waiting = this.#waiting.get(id)
    if (!waiting) return void this.#finals.delete(id)
    this.#waiting.delete(id)
    clearTimeout(waiting.patience)
    waiting.answered(verdict)
  }
}

interface Begun {
  mechanism: string
  initial: Buffer | null
  who: Who
}

/** One login, in as many steps as its mechanism takes. */
export class DovecotExchange {
  readonly #id: number
  readonly #dovecot: Dovecot
  readonly #begun: Begun
  #last: Verdict | null = null

  constructor(id: number, dovecot: Dovecot, begun: Begun) {
    this.#id = id
    this.#dovecot = dovecot
    this.#begun = begun
  }

  verdict(): Promise<Verdict> {
    const { mechanism, initial, who } = this.#begun
    const fields = [`AUTH\t${this.#id}`, mechanism, `service=${SERVICE}`]
    if (who.secure) fields.push('secured')
    if (who.client) fields.push(`rip=${who.client}`)
    // the last field, by the protocol
    if (initial) fields.push(`resp=${initial.toString('base64')}`)
    return this.#ask(fields.join('\t'))
  }

  respond(data: Buffer): Promise<Verdict> {
    // what success had to say was a challenge to the client, and this its answer
    if (this.#last) return Promise.resolve(data.length === 0 ? this.#last : { kind: 'false' })
    return this.#ask(`CONT\t${this.#id}\t${data.toString('base64')}`)
  }

  async #ask(line: string): Promise<Verdict> {
    const { final, ...verdict } = await this.#dovecot.ask(this.#id, line)
    if (!final || verdict.kind !== 'true') return verdict
    this.#last = verdict
    return { kind: 'challenge', data: final }
  }
}
