/**
 * Who runs the mail exchangers of a domain, so that qmgr can keep to one limit for all of a provider's customers, also
 * where each of them has exchangers of its own name (`example-org.mail.protection.outlook.com`). Pure.
 *
 * It is the registrable domain of the exchangers that are tried first, by the public suffix list; a backup elsewhere
 * does not count. Names below a private suffix (`*.compute.amazonaws.com`) belong to different owners. A name without
 * a public suffix above it stands for itself. The list takes 11 MiB, so it is loaded when it is first asked: who only
 * relays to named hosts never does.
 */
import { createRequire } from 'node:module'
import type { Exchanger } from './mail-exchangers.ts'

/** Null where the provider is no more than the exchangers themselves. */
export function providerOf(exchangers: readonly Exchanger[]): string | null {
  const best = Math.min(...exchangers.map(({ preference }) => preference))
  const foremost = exchangers.filter(({ preference }) => preference === best)
  const owners = new Set(foremost.map(({ host }) => ownerOf(host)))
  const provider = [...owners].sort((a, b) => (a < b ? -1 : 1)).join(',')
  return exchangers.length === 1 && provider === exchangers[0]?.host ? null : provider
}

const load = createRequire(import.meta.url)
let suffixes: typeof import('tldts') | null = null

function ownerOf(host: string): string {
  suffixes ??= load('tldts') as typeof import('tldts')
  return suffixes.getDomain(host, { allowPrivateDomains: true }) ?? host
}
