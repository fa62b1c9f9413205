/**
 * A message on its way in: its header is read, completed and looked at, its content goes to a file, so that memory
 * stays bounded whatever comes. What is missing is added as a submission server must (RFC 6409 section 8): Date,
 * Message-ID, and From, which the reverse-path gives.
 *
 * Fails: `end` and `flush` reject with the system's error; `tooLarge` and `endless` say why a message is refused.
 */

import { isAscii } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { readAddresses } from '../../shared/message/address-list.ts'
import { type Field, splitHeader } from '../../shared/message/header.ts'

const MAX_HEADER = 1 << 20

/** What the header says, as far as anybody asks. */
export interface Heading {
  /** The first address of From, or ''. */
  from: string
  subject: string
  fields: readonly Field[]
}

export class Incoming {
  readonly path: string
  heading: Heading = { from: '', subject: '', fields: [] }
  /** Octets so far, with what was added. */
  size = 0
  eightBit = false
  /** The header has no end. */
  endless = false
  readonly #limit: number
  readonly #complete: (heading: Heading) => string
  #file: FileHandle | null = null
  #header: Buffer[] | null = []
  #headerOctets = 0
  #pending: Buffer[] = []

  /** @param complete the fields that are missing, each with its CRLF, as latin1. */
  constructor(path: string, limit: number, complete: (heading: Heading) => string) {
    this.path = path
    this.#limit = limit
    this.#complete = complete
  }

  get tooLarge(): boolean {
    return this.size > this.#limit
  }

  /** Takes octets of the content; they are copied. */
  push(octets: Buffer): void {
    if (this.tooLarge || this.endless) {
      this.size += octets.length
      return
    }
    this.eightBit ||= !isAscii(octets)
    const copy = Buffer.from(octets)
    if (!this.#header) return this.#add(copy)
    this.#header.push(copy)
    this.#headerOctets += copy.length
    this.size += copy.length
    if (copy.includes(10)) this.#readHeader(false)
    this.endless = this.#header !== null && this.#headerOctets > MAX_HEADER
  }

  /** Writes what has come; await it before more is taken. */
  async flush(): Promise<void> {
    if (this.#pending.length === 0 || this.tooLarge) return
    this.#file ??= await open(this.path, 'wx', 0o600)
    const octets = Buffer.concat(this.#pending)
    this.#pending = []
    await this.#file.writeFile(octets)
  }

  /** All has come. */
  async end(): Promise<void> {
    if (this.#header) this.#readHeader(true)
    await this.flush()
    this.#file ??= await open(this.path, 'wx', 0o600) // not an octet came
    await this.#file.close()
    this.#file = null
  }

  async discard(): Promise<void> {
    await this.#file?.close().catch(() => undefined)
    this.#file = null
    await rm(this.path, { force: true })
  }

  #readHeader(whole: boolean): void {
    const octets = Buffer.concat(this.#header ?? [])
    this.#header = [octets]
    // no blank line yet: fields may follow. Looked for before the text is taken apart, so work stays linear
    if (!whole && octets.indexOf('\r\n\r\n') === -1 && beginsHeader(octets)) return
    const text = octets.toString('latin1')
    const split = splitHeader(text, true)
    this.heading = headingOf(split?.fields ?? [])
    this.#header = null
    this.size -= this.#headerOctets
    const missing = this.#complete(this.heading)
    const bare = split === null || split.fields.length === 0
    this.#add(
      Buffer.from(bare && !text.startsWith('\r\n') && missing !== '' ? `${missing}\r\n` : missing, 'latin1'),
    )
    this.#add(octets)
  }

  #add(octets: Buffer): void {
    this.size += octets.length
    if (octets.length > 0) this.#pending.push(octets)
  }
}

/** A first line that is no field has no header behind it; everything is body. */
function beginsHeader(octets: Buffer): boolean {
  return /^(?:[\x21-\x39\x3b-\x7e]+[ \t]*:|From )/.test(octets.toString('latin1', 0, 1000))
}

function headingOf(fields: readonly Field[]): Heading {
  const from = fieldText(fields, 'from')
  const addresses = readAddresses(from)
  return {
    from: (addresses.kind === 'good' ? addresses.list[0] : undefined) ?? '',
    subject: fieldText(fields, 'subject'),
    fields,
  }
}

/** Unfolded (RFC 5322 section 2.2.3), octets read as the UTF-8 that they may be. */
function fieldText(fields: readonly Field[], name: string): string {
  const raw = fields.find((field) => field.name === name)?.raw ?? ''
  const value = raw.slice(raw.indexOf(':') + 1).replace(/\r\n(?=[ \t])/g, '')
  return Buffer.from(value.trim(), 'latin1').toString('utf8')
}

/** RFC 6409 section 8: what a message must have and this one has not. */
export function missingFields({ fields }: Heading, sender: string, now: Date): string {
  const has = (name: string) => fields.some((field) => field.name === name)
  const domain = sender.slice(sender.lastIndexOf('@') + 1) || 'localhost'
  const lines = [
    ...(has('date') ? [] : [`Date: ${now.toUTCString().replace('GMT', '+0000')}`]),
    ...(has('from') || sender === '' ? [] : [`From: ${sender}`]),
    ...(has('message-id') ? [] : [`Message-ID: <${randomBytes(16).toString('hex')}@${domain}>`]),
  ]
  return lines.map((line) => `${Buffer.from(line).toString('latin1')}\r\n`).join('')
}
