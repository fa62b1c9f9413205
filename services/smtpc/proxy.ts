/**
 * Through the proxy that the configuration names to a target, whose name was looked up here. How it is done, and how
 * it fails, is in `shared/smtp-client/socks.ts`.
 */
import type { Socket } from 'node:net'
import { SocksClient } from 'socks'
import type { SocksProxy } from '../../shared/config/options-outgoing.ts'
import { goThroughSocks, type Passage } from '../../shared/smtp-client/socks.ts'
import type { Target } from './hosts.ts'

export function goThrough(
  proxy: SocksProxy,
  socket: Socket,
  { address, port }: Target,
  passage: Passage,
): void {
  goThroughSocks(SocksClient, proxy, socket, { host: address, port }, passage)
}
