/**
 * Who runs the mail exchangers of a domain, so that qmgr can keep to one limit for all of a provider's customers, also
 * where each of them has exchangers of its own name (`example-org.mail.protection.outlook.com`). Pure.
 *
 * It is the registrable domain of the exchangers that are tried first, by the public suffix list; a backup elsewhere
 * does not count. Names below a private suffix (`*.compute.amazonaws.com`) belong to different owners. A name without
 * a public suffix above it stands for itself.
 */
import { getDomain } from 'tldts'
import type { Exchanger } from './mail-exchangers.ts'

/** Null where the provider is no more than the exchangers themselves. */
export function providerOf(exchangers: readonly Exchanger[]): string | null {
  const best = Math.min(...exchangers.map(({ preference }) => preference))
  const foremost = exchangers.filter(({ preference }) => preference === best)
  const owners = new Set(foremost.map(({ host }) => ownerOf(host)))
  const provider = [...owners].sort((a, b) => (a < b ? -1 : 1)).join(',')
  return exchangers.length === 1 && provider === exchangers[0]?.host ? null : provider
}

function ownerOf(host: string): string {
  return getDomain(host, { allowPrivateDomains: true }) ?? host
}
