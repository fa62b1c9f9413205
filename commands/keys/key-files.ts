/**
 * Key files on disk: written whole, synced, and readable by nobody but the user that signs (0400). The list of a
 * directory is written beside the old one and renamed, after the keys that it names.
 * Fails: `Trouble` with what the system said; a key that is there is never written over.
 */
import { generateKeyPair, type KeyObject } from 'node:crypto'
import {
  chownSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import {
  KEY_LIST,
  type KeptKey,
  type KeyAlgorithm,
  parseKeyList,
  renderKeyList,
} from '../../shared/dkim/key-list.ts'
import { readPrivateKey } from '../../shared/dkim/private-key.ts'
import { exits, Trouble } from '../posthorn/trouble.ts'

const RSA_BITS = 2048
const KEY_MODE = 0o400
const LIST_MODE = 0o444
const DIRECTORY_MODE = 0o755

/** Who is to read it; null: whoever writes it. */
export type Owner = { uid: number; gid: number } | null

export async function makeKey(path: string, algorithm: KeyAlgorithm, owner: Owner): Promise<KeyObject> {
  const pair =
    algorithm === 'rsa'
      ? await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS })
      : await promisify(generateKeyPair)('ed25519')
  const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  doing(path, () => {
    mkdirSync(dirname(path), { recursive: true, mode: DIRECTORY_MODE })
    fill(path, pem, KEY_MODE, owner)
    syncDirectory(dirname(path))
  })
  return pair.privateKey
}

/** Null: there is none, or it is no key. */
export function readKeyFile(path: string): KeyObject | null {
  try {
    return readPrivateKey(readFileSync(path, 'utf8'), RSA_BITS)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new Trouble(exits.forbidden, `${path}: ${(error as NodeJS.ErrnoException).code}`)
  }
}

/** An empty one where there is none. */
export function readList(directory: string): KeptKey[] {
  const path = join(directory, KEY_LIST)
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new Trouble(exits.forbidden, `${path}: ${(error as NodeJS.ErrnoException).code}`)
  }
  const keys = parseKeyList(text)
  if (!keys) throw new Trouble(exits.bad, `${path} is no list of keys`)
  return keys
}

export function writeList(directory: string, keys: readonly KeptKey[]): void {
  const path = join(directory, KEY_LIST)
  const temporary = `${path}.${process.pid}.new`
  doing(path, () => {
    rmSync(temporary, { force: true })
    fill(temporary, renderKeyList(keys), LIST_MODE, null)
    renameSync(temporary, path)
    syncDirectory(directory)
  })
}

export function removeKey(path: string): void {
  doing(path, () => rmSync(path, { force: true }))
}

function fill(path: string, text: string, mode: number, owner: Owner): void {
  const fd = openSync(path, 'wx', mode)
  try {
    if (owner) chownSync(path, owner.uid, owner.gid)
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  fsyncSync(fd)
  closeSync(fd)
}

function doing(path: string, act: () => void): void {
  try {
    act()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    if (code === 'EEXIST') throw new Trouble(exits.bad, `${path} is there already; keys are not written over`)
    throw new Trouble(exits.bad, `${path} cannot be written (${code})`)
  }
}
