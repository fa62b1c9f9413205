/** A zone as the config makes it when nothing is said of it, for tests that speak to a part of the resolver. */
import type { ZoneSlice } from '../../shared/config/slices.ts'

export function plainZone(name: string, type: ZoneSlice['type']): ZoneSlice {
  return {
    name,
    type,
    cutThrough: 0,
    requireSignature: false,
    forged: 'tag',
    users: null,
    aliases: [],
    recipients: null,
    maildir: null,
    encryption: null,
    hosts: [],
    relay: null,
    routing: [],
    reply: null,
  }
}
