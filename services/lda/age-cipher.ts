/**
 * age (https://age-encryption.org/v1), by its own author's library: X25519 and the post-quantum hybrid recipients,
 * in ASCII armour. It streams, in chunks of 64 KiB. Loaded when the first message asks for it: 13 MiB of memory.
 *
 * Fails: a recipient that the library does not take is a `KeyTrouble`.
 */
import { type Cipher, KeyTrouble, type Sink } from './cipher.ts'

/** Octets in a line of 64 characters. */
const LINE = 48

export class AgeCipher implements Cipher {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>
  readonly #stop: (error: unknown) => void
  readonly #done: Promise<void>
  #pending: Promise<void> | null = null

  constructor(recipients: readonly string[], sink: Sink) {
    // its controller alone ends a write that waits for a reader
    let stop: (error: unknown) => void = () => undefined
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>({
      start: (controller) => {
        stop = (error) => controller.error(error)
      },
    })
    this.#stop = stop
    this.#writer = writable.getWriter()
    this.#writer.closed.catch(() => undefined) // `end` tells
    this.#done = encrypt(recipients, readable, sink).catch((error: unknown) => {
      stop(error)
      throw error
    })
    this.#done.catch(() => undefined) // so does this
  }

  push(octets: Uint8Array): void {
    if (octets.length === 0) return
    const taken = this.#writer
      .write(octets)
      .catch(() => undefined)
      .then(() => {
        if (this.#pending === taken) this.#pending = null
      })
    this.#pending = taken
  }

  pending(): Promise<void> | null {
    return this.#pending
  }

  async end(): Promise<void> {
    void this.#writer.close().catch(() => undefined)
    await this.#done
  }

  abort(): void {
    this.#stop(new Error('not wanted any more'))
  }
}

async function encrypt(
  recipients: readonly string[],
  plain: ReadableStream<Uint8Array>,
  sink: Sink,
): Promise<void> {
  const { Encrypter } = await import('age-encryption')
  const encrypter = new Encrypter()
  for (const recipient of recipients) addRecipient(encrypter, recipient)
  const armour = new Armour()
  sink(Buffer.from('-----BEGIN AGE ENCRYPTED FILE-----\n'))
  for await (const piece of await encrypter.encrypt(plain)) sink(armour.push(piece))
  sink(Buffer.concat([armour.end(), Buffer.from('-----END AGE ENCRYPTED FILE-----\n')]))
}

function addRecipient(encrypter: { addRecipient: (text: string) => void }, recipient: string): void {
  try {
    encrypter.addRecipient(recipient)
  } catch (error) {
    throw new KeyTrouble(`${recipient.slice(0, 20)}… is no recipient of age: ${(error as Error).message}`)
  }
}

/** Base64 in lines of 64 (RFC 7468 section 2, strict), at any split. */
export class Armour {
  #rest: Buffer = Buffer.alloc(0)

  push(octets: Uint8Array): Buffer {
    const all = this.#rest.length > 0 ? Buffer.concat([this.#rest, octets]) : Buffer.from(octets)
    const whole = all.length - (all.length % LINE)
    this.#rest = all.subarray(whole)
    return Buffer.from(lines(all.subarray(0, whole)))
  }

  end(): Buffer {
    return Buffer.from(lines(this.#rest))
  }
}

function lines(octets: Buffer): string {
  return octets.toString('base64').replace(/.{1,64}/g, '$&\n')
}
