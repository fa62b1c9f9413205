/**
 * Whether the DKIM keys that sign are published in DNS as they are: asked when the process starts, when the config
 * changes and once in ASK_AGAIN_MS. What differs is a warning in the log, once for each key; mail goes on, for DNS may
 * be wrong for a while, and a signature that cannot be verified is no worse than none (RFC 6376 section 6.3).
 */
import type { Log } from '../../../shared/base/log.ts'
import { isRecordOf } from '../../../shared/dkim/private-key.ts'
import type { AskText } from '../signature/judge.ts'
import type { Keyring } from './keyring.ts'

const ASK_AGAIN_MS = 3_600_000

export class Publication {
  readonly #keyring: () => Keyring
  readonly #ask: AskText
  readonly #log: Log
  readonly #clock: NodeJS.Timeout
  /** Names whose record was wrong when it was asked for last. */
  readonly #wrong = new Set<string>()

  constructor(keyring: () => Keyring, ask: AskText, log: Log) {
    this.#keyring = keyring
    this.#ask = ask
    this.#log = log
    this.#clock = setInterval(() => this.look(), ASK_AGAIN_MS).unref()
  }

  get wrong(): number {
    return this.#wrong.size
  }

  look(): void {
    const keys = this.#keyring().all()
    const names = new Set(keys.map(({ domain, selector }) => nameOf(selector, domain)))
    for (const name of this.#wrong) if (!names.has(name)) this.#wrong.delete(name)
    for (const { domain, selector, key, section } of keys) {
      const name = nameOf(selector, domain)
      this.#ask(name, (answer) => {
        if (answer?.kind !== 'found') return // nobody can tell
        this.#heard(
          section,
          name,
          answer.texts,
          answer.texts.some((text) => isRecordOf(text, key)),
        )
      })
    }
  }

  close(): void {
    clearInterval(this.#clock)
  }

  #heard(dkim: string, name: string, texts: readonly string[], right: boolean): void {
    if (right) {
      if (this.#wrong.delete(name)) this.#log.info({ dkim, name }, 'DKIM key is published now')
    } else if (!this.#wrong.has(name)) {
      this.#wrong.add(name)
      const what = texts.length > 0 ? 'DKIM key is not the one in DNS' : 'DKIM key is not in DNS'
      this.#log.warn({ dkim, name }, what)
    }
  }
}

function nameOf(selector: string, domain: string): string {
  return `${selector}._domainkey.${domain}`
}
