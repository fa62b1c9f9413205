/**
 * The keys to sign with: printed by a command (a password manager, a token's tool) or read from a file, for as long as
 * this one message takes. PEM, or the bare 32 octets of an Ed25519 key in base64, as opendkim's tools have it.
 *
 * Fails: `Stop` with 78 where the key is none, 75 where the command fails: it may have been locked.
 */
import { spawn } from 'node:child_process'
import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readPrivateKey } from '../../shared/dkim/private-key.ts'
import type { Signer } from '../../shared/dkim/signature-field.ts'
import { exitCodes } from '../sendmail/exit-code.ts'
import { Stop } from '../sendmail/stop.ts'
import type { KeySource, SenderConfig } from './sign-config.ts'

const LONGEST_KEY = 64 * 1024
const LEAST_RSA_BITS = 1024

/** One after the other: each command may ask its user something. */
export async function loadSigners({ domain, key: keys, timeout }: SenderConfig): Promise<Signer[]> {
  const signers: Signer[] = []
  for (const source of keys)
    signers.push({ domain, selector: source.selector, key: await load(source, timeout) })
  return signers
}

async function load({ selector, from }: KeySource, timeout: number): Promise<KeyObject> {
  const text = from.kind === 'file' ? readKeyFile(from.path) : await printed(from.words, timeout)
  const key = readPrivateKey(text, LEAST_RSA_BITS)
  if (!key) throw new Stop(exitCodes.config, [`key "${selector}" is neither RSA nor Ed25519, or too short`])
  return key
}

function readKeyFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new Stop(exitCodes.config, [`cannot read the key ${path}: ${(error as Error).message}`])
  }
}

/** Its standard error is ours, and its terminal: it may have to ask. */
function printed([program = '', ...words]: readonly string[], timeout: number): Promise<string> {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'], timeout })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
    if (text.length > LONGEST_KEY) child.kill()
  })
  return new Promise((done, fail) => {
    const refuse = (why: string) => fail(new Stop(exitCodes.temporary, [`no key from ${program}: ${why}`]))
    child.once('error', (error) => refuse(error.message))
    child.once('close', (code, signal) => {
      if (code === 0) done(text)
      else refuse(code === null ? `killed by ${signal}` : `it left with ${code}`)
    })
  })
}
