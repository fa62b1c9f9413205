/**
 * OpenPGP by a child, `gpg --encrypt`, as the user whose mail it is: with the keys of the user's keyring or of files.
 * It needs no agent, asks no network and no user, reads no gpg.conf, and trusts the key that the config names.
 *
 * Fails: as `KeyTrouble` with gpg's own last word. A gpg that makes no progress for PATIENCE_MS is killed.
 */
import { join } from 'node:path'
import { type PipedChild, startGpg } from './child.ts'
import { type Cipher, KeyTrouble, type Sink } from './cipher.ts'

const PATIENCE_MS = 60_000
/** Of what it says on standard error. */
const MOST_WORDS = 4096

const USUAL = [
  ...['--batch', '--no-tty', '--quiet', '--no-options', '--no-random-seed-file'],
  ...['--no-autostart', '--disable-dirmngr', '--no-auto-key-locate', '--trust-model', 'always'],
  ...['--armor', '--output', '-'],
]

/** @param keys fingerprints, addresses, absolute paths of files. */
export function gpgArguments(keys: readonly string[], home: string): string[] {
  const isFile = (key: string) => key.startsWith('/')
  return [
    ...['--homedir', join(home, '.gnupg'), ...USUAL],
    ...(keys.every(isFile) ? ['--no-keyring'] : []),
    ...keys.flatMap((key) => {
      if (isFile(key)) return ['--recipient-file', key]
      return ['--recipient', key.includes('@') ? `<${key}>` : key]
    }),
    '--encrypt',
  ]
}

export class GpgCipher implements Cipher {
  readonly #child: PipedChild
  readonly #done: Promise<void>
  readonly #sink: Sink
  #timer: NodeJS.Timeout | null = null
  #words = ''
  #trouble: unknown = null
  #pending: Promise<void> | null = null

  constructor(keys: readonly string[], home: string, sink: Sink) {
    this.#sink = sink
    this.#child = startGpg(gpgArguments(keys, home), {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      HOME: home,
      LC_ALL: 'C',
    })
    this.#child.once('error', (error) => this.#fail(new KeyTrouble(`gpg cannot be run: ${error.message}`)))
    // the case where there are no descriptors left for its pipes
    if (!this.#child.stdin) throw new KeyTrouble('gpg cannot be run')
    this.#done = this.#watch()
    this.#done.catch(() => undefined) // `end` tells
    this.#arm()
  }

  push(octets: Uint8Array): void {
    if (this.#trouble !== null || octets.length === 0) return
    const taken = new Promise<void>((resolve) => this.#child.stdin.write(octets, () => resolve())).then(
      () => {
        if (this.#pending !== taken) return
        this.#pending = null
        this.#arm()
      },
    )
    this.#pending = taken
  }

  pending(): Promise<void> | null {
    return this.#pending
  }

  async end(): Promise<void> {
    this.#child.stdin.end()
    await this.#done
  }

  abort(): void {
    this.#fail(new Error('not wanted any more'))
  }

  #watch(): Promise<void> {
    const { stdin, stdout, stderr } = this.#child
    stdin.on('error', () => undefined) // it may leave before it has read all; its exit code says why
    stdout.on('data', (piece: Buffer) => this.#heard(piece))
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#words = (this.#words + text).slice(-MOST_WORDS)
    })
    return new Promise((resolve, reject) => {
      this.#child.once('close', (code, signal) => {
        if (this.#timer) clearTimeout(this.#timer)
        if (this.#trouble === null && code !== 0) this.#trouble = new KeyTrouble(this.#lastWord(code, signal))
        if (this.#trouble === null) resolve()
        else reject(this.#trouble)
      })
    })
  }

  #heard(ciphertext: Buffer): void {
    if (this.#trouble !== null) return
    this.#arm()
    try {
      this.#sink(ciphertext)
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    this.#trouble ??= error
    this.#child.kill('SIGKILL')
  }

  #lastWord(code: number | null, signal: string | null): string {
    const words = this.#words.trim().split('\n').slice(-2).join('; ')
    return words === '' ? `gpg left with ${code ?? signal}` : words
  }

  #arm(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = setTimeout(
      () => this.#fail(new KeyTrouble('gpg made no progress and was stopped')),
      PATIENCE_MS,
    )
  }
}
