/**
 * A copy that is encrypted on its way into the Maildir: it takes the message as it came, CRLF and all, and only
 * ciphertext ever reaches the disk. What is encrypted already is stored as it is.
 *
 * The header is gathered until it is whole, at most MOST_HEADER octets (a longer one shows nothing); everything after it
 * streams. `pending` says when more may come: memory stays within the window of the bus and a chunk or two.
 *
 * Fails: as `Copy` does; with `KeyTrouble` from `commit`, or already from `write`.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isAgeRecipient } from '../../shared/config/encryption-values.ts'
import type { Encryption } from '../../shared/message/route.ts'
import { AgeCipher } from './age-cipher.ts'
import { type Cipher, KeyTrouble, type Sink } from './cipher.ts'
import { GpgCipher } from './gpg-cipher.ts'
import type { Copy } from './maildir.ts'
import { type Newlines, UnixNewlines, untouched } from './newline.ts'
import { isEncrypted, protectedHeader, type Wrapper, wrapperOf } from './wrapper.ts'

const MOST_HEADER = 256 * 1024
const EMPTY_LINE = Buffer.from('\r\n')
const MOST_KEY_FILE = 64 * 1024

export interface Sealing {
  encryption: Encryption
  home: string
  now: number
  /** Content is not made of lines. */
  binary: boolean
  /** The lines on top, with such line ends. */
  trace: (newline: '\n' | '\r\n') => Buffer
}

/** What the header has decided. */
type Way = { kind: 'plain' } | { kind: 'sealed'; cipher: Cipher; wrapper: Wrapper }

export class SealedCopy {
  readonly #copy: Copy
  readonly #sealing: Sealing
  #gathered: Buffer = Buffer.alloc(0)
  #newlines: Newlines = untouched
  #way: Way | null = null
  #over = false

  constructor(copy: Copy, sealing: Sealing) {
    this.#copy = copy
    this.#sealing = sealing
  }

  write(octets: Uint8Array): void {
    if (this.#way) return this.#pass(this.#newlines.push(octets))
    this.#gathered = Buffer.concat([this.#gathered, octets])
    const end = headerEnd(this.#gathered)
    if (end >= 0 || this.#gathered.length > MOST_HEADER) this.#begin(end)
  }

  pending(): Promise<void> | null {
    return this.#way?.kind === 'sealed' ? this.#way.cipher.pending() : null
  }

  async commit(): Promise<void> {
    try {
      if (!this.#way) this.#begin(-1)
      this.#pass(this.#newlines.end())
      if (this.#way?.kind === 'sealed') {
        await this.#way.cipher.end()
        this.#copy.write(latin1(this.#way.wrapper.closing))
      }
    } catch (error) {
      this.discard()
      throw error
    }
    this.#over = true
    await this.#copy.commit()
  }

  discard(): void {
    this.#over = true
    if (this.#way?.kind === 'sealed') this.#way.cipher.abort()
    this.#copy.discard()
  }

  /** @param end where the header ends; -1: nobody knows. */
  #begin(end: number): void {
    const { encryption, binary, now, trace } = this.#sealing
    const header = end < 0 ? '' : this.#gathered.subarray(0, end).toString('latin1')
    const rest = end < 0 ? this.#gathered : this.#gathered.subarray(end)
    this.#gathered = Buffer.alloc(0)
    const plain = isEncrypted(header)
    const unix = !binary && (plain || encryption.kind === 'age')
    if (unix) this.#newlines = new UnixNewlines()
    if (plain) this.#way = { kind: 'plain' }
    else this.#seal(wrapperOf(header, { encryption, now, boundary: randomBytes(18).toString('hex') }))
    const marked = !plain && encryption.kind === 'openpgp' && end > 0
    this.#pass(trace(unix ? '\n' : '\r\n'))
    this.#pass(this.#newlines.push(latin1(marked ? protectedHeader(header) : header)))
    this.#pass(this.#newlines.push(rest))
  }

  #seal(wrapper: Wrapper): void {
    const { encryption, home } = this.#sealing
    const sink: Sink = (ciphertext) => {
      if (!this.#over) this.#copy.write(ciphertext)
    }
    const keys = encryption.keys.map((key) => (key.startsWith('~/') ? join(home, key.slice(2)) : key))
    const recipients = encryption.kind === 'age' ? keys.flatMap(ageRecipients) : keys
    this.#copy.write(latin1(wrapper.opening))
    const cipher =
      encryption.kind === 'age' ? new AgeCipher(recipients, sink) : new GpgCipher(recipients, home, sink)
    this.#way = { kind: 'sealed', cipher, wrapper }
  }

  #pass(octets: Uint8Array): void {
    if (this.#way?.kind === 'sealed') this.#way.cipher.push(octets)
    else this.#copy.write(octets)
  }
}

/** Where the empty line begins, with the line end before it; 0: there is no header; -1: not yet known. */
function headerEnd(octets: Buffer): number {
  return octets.subarray(0, 2).equals(EMPTY_LINE) ? 0 : octets.indexOf('\r\n\r\n')
}

/** Itself, or those in a file: one on a line, `#` begins a comment, as `age -R` reads them. */
function ageRecipients(key: string): string[] {
  if (!key.startsWith('/')) return [key]
  const lines = readKeyFile(key).split('\n')
  const found = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'))
  const bad = found.find((line) => !isAgeRecipient(line))
  if (bad !== undefined) throw new KeyTrouble(`${key}: ${bad.slice(0, 20)}… is no recipient of age`)
  if (found.length === 0) throw new KeyTrouble(`${key} has no recipient of age`)
  return found
}

/** A pipe or a device there must not keep the process waiting. */
function readKeyFile(path: string): string {
  let descriptor: number | null = null
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const facts = fstatSync(descriptor)
    if (!facts.isFile() || facts.size > MOST_KEY_FILE) throw new Error(`${path} is no file of keys`)
    return readFileSync(descriptor, 'latin1')
  } catch (error) {
    throw new KeyTrouble((error as Error).message)
  } finally {
    if (descriptor !== null) closeSync(descriptor)
  }
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}
