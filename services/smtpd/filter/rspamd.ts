/**
 * rspamd for one session, by HTTP: what it is to know of the client and the envelope goes as fields of the request,
 * the message as its body, on its way while it comes in; the answer is there at the end of the content.
 *
 * Each message has a connection of its own: a kept one may have died, and what was streamed cannot be said again.
 * Fails: FilterTrouble from a server that cannot be reached, is late, closes early or says no more than an error.
 */
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { FilterAddress } from '../../../shared/config/filter-slice.ts'
import { CONTINUE, type Filter, FilterTrouble, type Finding, type MessageFacts, type Word } from './change.ts'
import { type Field, renderHead } from './header.ts'
import { readAnswer } from './rspamd-answer.ts'
import { renderFacts } from './rspamd-request.ts'

export interface RspamdPlan {
  address: FilterAddress
  /** Milliseconds: to connect; for octets to leave; for the answer. */
  connectTimeout: number
  timeout: number
  contentTimeout: number
}

const LARGEST_ANSWER = 4 << 20

export class Rspamd implements Filter {
  readonly remembers = false
  readonly #plan: RspamdPlan
  #request: ClientRequest | null = null
  #answer: Promise<string> | null = null
  #fields: readonly Field[] = []

  constructor(plan: RspamdPlan) {
    this.#plan = plan
  }

  recipient(): Promise<Word> {
    return Promise.resolve(CONTINUE)
  }

  data(): Promise<Word> {
    return Promise.resolve(CONTINUE)
  }

  async header(facts: MessageFacts, recipients: readonly string[], fields: readonly Field[]): Promise<Word> {
    this.#fields = fields
    const { address, connectTimeout } = this.#plan
    const asked = request({ ...placeOf(address), ...requestOf(facts, recipients), agent: false })
    this.#request = asked
    this.#answer = answerTo(asked)
    // whoever waits for it hears of its failure; until then it is nobody's
    this.#answer.catch(() => undefined)
    await this.#write(Buffer.from(renderHead(fields), 'latin1'), connectTimeout)
    return CONTINUE
  }

  async body(octets: Buffer): Promise<Word> {
    await this.#write(octets, this.#plan.timeout)
    return CONTINUE
  }

  async end(): Promise<Finding> {
    const [asked, answer] = [this.#request, this.#answer]
    if (!asked || !answer) throw new FilterTrouble('there was no header')
    asked.end()
    return readAnswer(await this.#within(this.#plan.contentTimeout, answer), this.#fields)
  }

  over(): void {
    this.#request?.destroy()
    this.#request = null
    this.#answer = null
    this.#fields = []
  }

  close(): void {
    this.over()
  }

  /** Resolves when the octets are no longer needed here. */
  async #write(octets: Buffer, patience: number): Promise<void> {
    const [asked, answer] = [this.#request, this.#answer]
    if (!asked || !answer) throw new FilterTrouble('the connection is gone')
    if (octets.length === 0) return
    const written = new Promise<void>((done, fail) => {
      asked.write(octets, (error) => (error ? fail(troubleOf(error)) : done()))
    })
    // an answer before the end is one all the same, and the rest is read by nobody
    await this.#within(patience, Promise.race([written, answer.then(() => undefined)]))
  }

  async #within<T>(patience: number, awaited: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, fail) => {
      timer = setTimeout(() => fail(new FilterTrouble(`no answer in ${patience} ms`)), patience)
    })
    try {
      return await Promise.race([awaited, late])
    } catch (error) {
      this.over()
      throw troubleOf(error)
    } finally {
      clearTimeout(timer)
    }
  }
}

function placeOf(address: FilterAddress): { socketPath: string } | { host: string; port: number } {
  return address.kind === 'unix' ? { socketPath: address.path } : { host: address.host, port: address.port }
}

function requestOf(
  facts: MessageFacts,
  recipients: readonly string[],
): { method: string; path: string; headers: Record<string, string | string[]> } {
  return { method: 'POST', path: '/checkv2', headers: renderFacts(facts, recipients) }
}

function answerTo(asked: ClientRequest): Promise<string> {
  return new Promise((told, fail) => {
    asked.on('error', (error) => fail(troubleOf(error)))
    let answered = false
    asked.on('response', (response) => {
      answered = true
      gather(response, told, fail)
    })
    // behind the head of an answer it is the answer that fails
    asked.on('close', () => answered || fail(new FilterTrouble('it closed the connection')))
  })
}

function gather(response: IncomingMessage, told: (text: string) => void, fail: (why: Error) => void): void {
  const pieces: Buffer[] = []
  let octets = 0
  response.on('data', (piece: Buffer) => {
    octets += piece.length
    if (octets > LARGEST_ANSWER) response.destroy(new FilterTrouble('too long an answer'))
    else pieces.push(piece)
  })
  response.on('error', (error) => fail(troubleOf(error)))
  response.on('end', () => {
    if (response.statusCode !== 200) fail(new FilterTrouble(`it says ${response.statusCode}`))
    else told(Buffer.concat(pieces).toString('utf8'))
  })
}

function troubleOf(error: unknown): FilterTrouble {
  if (error instanceof FilterTrouble) return error
  return new FilterTrouble(error instanceof Error ? error.message : String(error))
}
