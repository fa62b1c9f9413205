/**
 * crypt(3) of libcrypt, for the hashes of /etc/shadow: `$y$`, `$6$`, `$5$`, `$2b$` and whatever else the C library of
 * the machine knows. Runs on a thread of its own, so a slow hash holds up nobody.
 *
 * Fails: where there is no libcrypt `cryptAvailable` is false and `matchesCrypt` says no to everything.
 */
import { timingSafeEqual } from 'node:crypto'
import { createRequire } from 'node:module'

/** sizeof(struct crypt_data) of libxcrypt; glibc's old one had more, which is why there is room. */
const DATA_SIZE = 256 << 10
const LIBRARIES = ['libcrypt.so.1', 'libcrypt.so.2']

type Answered = (error: Error | null, hash: string | null) => void
interface CryptFunction {
  async: (password: string, setting: string, data: Buffer, answered: Answered) => void
}

let loaded: CryptFunction | null | undefined

export function cryptAvailable(): boolean {
  return load() !== null
}

/** Whether the password is the one that the hash was made of. */
export function matchesCrypt(password: string, hash: string): Promise<boolean> {
  const crypt = load()
  if (!crypt || password.includes('\0')) return Promise.resolve(false)
  return new Promise((resolve) => {
    const data = Buffer.alloc(DATA_SIZE)
    crypt.async(password, hash, data, (error, made) => {
      // wiped, and by that held until the thread is done with it
      data.fill(0)
      resolve(!error && made !== null && !made.startsWith('*') && same(made, hash))
    })
  })
}

function same(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other))
}

function load(): CryptFunction | null {
  if (loaded === undefined) loaded = find()
  return loaded
}

function find(): CryptFunction | null {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as {
      load: (library: string) => { func: (declaration: string) => unknown }
    }
    for (const library of LIBRARIES) {
      try {
        return koffi.load(library).func('str crypt_r(str, str, _Inout_ uint8_t *)') as CryptFunction
      } catch {
        // the next one
      }
    }
  } catch {
    // no native calls on this machine
  }
  return null
}
