/**
 * The policy of a domain by HTTPS, `https://mta-sts.DOMAIN/.well-known/mta-sts.txt` (RFC 8461 section 3.3): from an
 * address that our own resolver gives, the certificate verified for that name, no redirection, plain text.
 * Fails: rejects with an Error that says why. Limits: LONGEST octets, LONGEST_MS.
 */
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { addressesOf, type Lookups } from '../host-addresses.ts'

const LONGEST = 65_536
/** Section 3.3 suggests one minute. */
const LONGEST_MS = 60_000
const PATH = '/.well-known/mta-sts.txt'
const HTTPS = 443

export interface FetchOptions {
  dns: Lookups
  /** PEM; null: the authorities that Node comes with. */
  caFile: string | null
}

export async function fetchPolicy(
  domain: string,
  { dns, caFile }: FetchOptions,
  signal: AbortSignal,
): Promise<string> {
  const host = `mta-sts.${domain}`
  const found = await addressesOf(host, dns)
  if (found.kind !== 'addresses') throw new Error(`${host} has no address`)
  const limit = AbortSignal.any([signal, AbortSignal.timeout(LONGEST_MS)])
  let trouble: unknown = null
  for (const address of found.addresses.slice(0, 4)) {
    try {
      return await get(host, address, caFile === null ? {} : { ca: readFileSync(caFile) }, limit)
    } catch (error) {
      trouble = error
      if (limit.aborted) break
    }
  }
  throw trouble
}

function get(host: string, address: string, trust: { ca?: Buffer }, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({
      ...trust,
      ...{ host: address, port: HTTPS, servername: host, path: PATH, agent: false, signal },
      headers: { host, accept: 'text/plain', 'user-agent': 'posthorn' },
    })
    asked.once('error', reject)
    asked.once('response', (response) => void read(response).then(resolve, reject))
    asked.end()
  })
}

async function read(response: IncomingMessage): Promise<string> {
  const { statusCode, headers } = response
  try {
    if (statusCode !== 200) throw new Error(`the server says ${statusCode}`)
    // section 3.2, against what users may put there
    if (!/^text\/plain\s*(?:;|$)/i.test(headers['content-type'] ?? '')) throw new Error('it is no plain text')
    const pieces: Buffer[] = []
    let octets = 0
    for await (const piece of response as AsyncIterable<Buffer>) {
      octets += piece.length
      if (octets > LONGEST) throw new Error(`more than ${LONGEST} octets`)
      pieces.push(piece)
    }
    return Buffer.concat(pieces).toString('utf8')
  } finally {
    response.destroy()
  }
}
