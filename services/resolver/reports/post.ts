/**
 * A report about TLS posted to a web server (RFC 8460 section 5.4): an address that our own resolver gives, the
 * certificate verified for the name, no redirection. What the server says beside its status is not read.
 * Fails: rejects with an Error that says why. Limit: LONGEST_MS in all.
 */
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { addressesOf, type Lookups } from '../host-addresses.ts'

const LONGEST_MS = 60_000

export interface PostOptions {
  dns: Lookups
  /** PEM; null: the authorities that Node comes with. */
  caFile: string | null
}

/** @param href of https, with a name and port 443 */
export async function postReport(href: string, file: Buffer, { dns, caFile }: PostOptions): Promise<void> {
  const url = new URL(href)
  const found = await addressesOf(url.hostname, dns)
  if (found.kind !== 'addresses') throw new Error(`${url.hostname} has no address`)
  const trust = caFile === null ? {} : { ca: readFileSync(caFile) }
  const signal = AbortSignal.timeout(LONGEST_MS)
  let trouble: unknown = null
  for (const address of found.addresses.slice(0, 4)) {
    try {
      return await post(url, address, file, trust, signal)
    } catch (error) {
      trouble = error
      if (signal.aborted || error instanceof Refused) break
    }
  }
  throw trouble
}

class Refused extends Error {}

function post(
  { hostname, pathname, search }: URL,
  address: string,
  file: Buffer,
  trust: { ca?: Buffer },
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request({
      ...trust,
      ...{ host: address, servername: hostname, path: `${pathname}${search}`, agent: false, signal },
      method: 'POST',
      headers: {
        host: hostname,
        'content-type': 'application/tlsrpt+gzip',
        'content-length': file.length,
        'user-agent': 'posthorn',
      },
    })
    asked.on('error', reject)
    asked.once('response', (response) => {
      const status = response.statusCode ?? 0
      response.destroy()
      if (status >= 200 && status < 300) resolve()
      else reject(new Refused(`the server says ${status}`))
    })
    asked.end(file)
  })
}
