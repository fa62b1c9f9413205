/**
 * Whose name mail bears that an alias sends on: with `srs`, ours, so that the next host finds us allowed to send it
 * (SPF), and reports come back here, from where they go on to who wrote it.
 *
 * The secret's file is looked at with the mail that asks, and read again when it changes. Fails: without a secret
 * nothing is rewritten, the log says why, and what came back is put off.
 */
import type { Log } from '../../../shared/base/log.ts'
import type { ParsedFile } from '../../../shared/config/map-file.ts'
import type { SrsSlice } from '../../../shared/config/slices.ts'
import { type Address, formatAddress, parseMailbox } from '../../../shared/smtp/address.ts'
import { WatchedFile } from '../watched-file.ts'
import { backward, forward, isRewritten } from './scheme.ts'

const SHORTEST = 16

export interface ForwardingOptions {
  slice: SrsSlice
  /** A domain whose mail is ours to send. */
  isOurs: (domain: string) => boolean
  log: Log
  /** Of a clock that does not jump, and of the one on the wall: milliseconds. */
  now: () => number
  time: () => number
}

export type Returned = { kind: 'address'; address: Address } | { kind: 'refused' } | { kind: 'later' }

export class Forwarding {
  readonly #options: ForwardingOptions
  readonly #secrets: WatchedFile<readonly string[]>

  constructor(options: ForwardingOptions) {
    this.#options = options
    this.#secrets = new WatchedFile(options.slice.secret, parseSecrets, options.log)
  }

  /** The reverse-path that goes on; undefined: the one that came. */
  senderFor(sender: string): string | undefined {
    const parsed = sender === '' ? null : parseMailbox(sender, { utf8: true })
    if (!parsed?.ok || this.#options.isOurs(parsed.address.domain)) return undefined
    const [secret] = this.#current()
    if (secret === undefined) return undefined
    const made = forward(parsed.address, this.#options.slice.domain, secret, this.#options.time())
    return made ? formatAddress(made) : undefined
  }

  /** Null: it is an address like any other. */
  returned({ local, domain }: Address): Returned | null {
    if (domain !== this.#options.slice.domain || !isRewritten(local)) return null
    const secrets = this.#current()
    if (secrets.length === 0) return { kind: 'later' }
    const text = backward(local, secrets, this.#options.time())
    const parsed = text === null ? null : parseMailbox(text, { utf8: true })
    return parsed?.ok ? { kind: 'address', address: parsed.address } : { kind: 'refused' }
  }

  #current(): readonly string[] {
    this.#secrets.look(this.#options.now())
    return this.#secrets.value ?? []
  }
}

/** The secret in use on the first line, older ones below it. */
function parseSecrets(text: string): ParsedFile<readonly string[]> {
  const lines = text.split('\n').map((line) => line.trim())
  const value = lines.filter((line) => line.length >= SHORTEST && !line.startsWith('#'))
  const faults = lines.flatMap((line, n) =>
    line === '' || line.startsWith('#') || line.length >= SHORTEST
      ? []
      : [{ line: n + 1, why: `a secret has ${SHORTEST} characters at least` }],
  )
  return { value, faults }
}
