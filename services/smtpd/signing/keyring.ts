/**
 * The DKIM keys of this process: which of them sign for an author, read from their files, and anew when those change.
 *
 * The sections with the longest domain that an author's is, or is below, sign; all of them. Files are looked at once in
 * LOOK_MS at most, with the mail that asks. Fails: a key that cannot be read is logged once and comes out as `failed`,
 * unless its section lets mail go without it.
 */
import type { KeyObject } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { domainToASCII } from 'node:url'
import type { Log } from '../../../shared/base/log.ts'
import type { DkimSlice } from '../../../shared/config/slices.ts'
import { KEY_LIST, keyFile, parseKeyList } from '../../../shared/dkim/key-list.ts'
import { readPrivateKey } from '../../../shared/dkim/private-key.ts'
import type { Canonicalizations, Signer } from '../../../shared/dkim/signature-field.ts'
import { isLike } from '../rights.ts'

const LOOK_MS = 1000
const LEAST_RSA_BITS = 2048
const LARGEST_FILE = 64 << 10

export interface Author {
  domain: string
  /** Lower case; null: it cannot be read. */
  address: string | null
}

export interface Signatory extends Canonicalizations {
  signer: Signer
  /** Milliseconds; null: for ever. */
  lifetime: number | null
}

export type Signatories = { kind: 'good'; list: Signatory[] } | { kind: 'failed'; section: string }

interface Key {
  selector: string
  key: KeyObject
}

/** What a section's files say, as of `stamp`; null: nothing that can be used. */
interface Known {
  stamp: string
  lookedAt: number
  keys: readonly Key[] | null
}

export class Keyring {
  readonly #sections: readonly DkimSlice[]
  readonly #log: Log
  readonly #now: () => number
  readonly #known = new Map<string, Known>()

  constructor(sections: readonly DkimSlice[], log: Log, now: () => number = Date.now) {
    this.#sections = sections
    this.#log = log
    this.#now = now
  }

  signatoriesFor({ domain, address }: Author): Signatories {
    const list: Signatory[] = []
    for (const { section, signed } of this.#sectionsFor(domainToASCII(domain))) {
      const { header, body, lifetime, senders } = section
      if (senders && !(address !== null && senders.some((pattern) => isLike(pattern, address)))) continue
      const keys = this.#keysOf(section)
      if (!keys && section.onFailure === 'tempfail') return { kind: 'failed', section: section.name }
      for (const { selector, key } of keys ?? [])
        list.push({ signer: { domain: signed, selector, key }, header, body, lifetime })
    }
    return { kind: 'good', list }
  }

  /** Every key with each of its domains, for who compares them with DNS. */
  all(): { domain: string; selector: string; key: KeyObject; section: string }[] {
    return this.#sections.flatMap((section) =>
      (this.#keysOf(section) ?? []).flatMap((one) =>
        section.domains.map((domain) => ({ ...one, domain, section: section.name })),
      ),
    )
  }

  #sectionsFor(domain: string): { section: DkimSlice; signed: string }[] {
    for (let name = domain; name.includes('.'); name = name.slice(name.indexOf('.') + 1)) {
      const found = this.#sections.filter(({ domains }) => domains.includes(name))
      if (found.length > 0) return found.map((section) => ({ section, signed: name }))
    }
    return []
  }

  #keysOf(section: DkimSlice): readonly Key[] | null {
    const known = this.#known.get(section.name)
    const now = this.#now()
    if (known && now >= known.lookedAt && now < known.lookedAt + LOOK_MS) return known.keys
    const stamp = stampOf(section)
    const keys = known?.stamp === stamp ? known.keys : this.#read(section, known)
    this.#known.set(section.name, { stamp, lookedAt: now, keys })
    return keys
  }

  #read({ algorithm, name, from }: DkimSlice, before: Known | undefined): readonly Key[] | null {
    try {
      const keys = from.kind === 'file' ? [keyOf(from.selector, from.path)] : activeKeys(from.path)
      const other = keys.find(({ key }) => algorithm !== null && key.asymmetricKeyType !== algorithm)
      if (other) throw new Error(`${other.selector} is no ${algorithm} key`)
      if (keys.length === 0) throw new Error('no key is active')
      const selectors = keys.map(({ selector }) => selector)
      this.#log.info({ dkim: name, selectors }, before ? 'DKIM keys changed' : 'DKIM keys read')
      return keys
    } catch (error) {
      this.#log.error({ dkim: name, file: from.path, why: (error as Error).message }, 'no DKIM key')
      return null
    }
  }
}

function stampOf({ from: { kind, path } }: DkimSlice): string {
  const stat = statSync(kind === 'file' ? path : join(path, KEY_LIST), { throwIfNoEntry: false })
  return stat ? `${stat.ino}:${stat.mtimeMs}:${stat.size}:${stat.uid}:${stat.mode}` : 'none'
}

function activeKeys(directory: string): Key[] {
  const list = parseKeyList(readSmall(join(directory, KEY_LIST)))
  if (!list) throw new Error('the list of keys cannot be read')
  const active = list.filter(({ state }) => state === 'active')
  return active.map(({ selector }) => keyOf(selector, join(directory, keyFile(selector))))
}

function keyOf(selector: string, path: string): Key {
  const key = readPrivateKey(readSmall(path), LEAST_RSA_BITS)
  if (!key) throw new Error(`neither Ed25519 nor RSA of ${LEAST_RSA_BITS} bits or more`)
  return { selector, key }
}

function readSmall(path: string): string {
  if (statSync(path).size > LARGEST_FILE) throw new Error('larger than a key may be')
  return readFileSync(path, 'utf8')
}
