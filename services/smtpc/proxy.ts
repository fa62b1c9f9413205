/**
 * Through the proxy that the configuration names to a target, whose name was looked up here. How it is done, and how
 * it fails, is in `shared/smtp-client/socks.ts` and `http-connect.ts`.
 */
import type { Socket } from 'node:net'
import { SocksClient } from 'socks'
import type { OutgoingProxy } from '../../shared/config/options-outgoing.ts'
import { goThroughSocks, type Passage } from '../../shared/smtp-client/socks.ts'
import type { Target } from './hosts.ts'
import { connectThrough } from './http-connect.ts'

export function goThrough(
  proxy: OutgoingProxy,
  socket: Socket,
  { address, port }: Target,
  passage: Passage,
): void {
  if (proxy.kind === 'http') return connectThrough(proxy, socket, { address, port }, passage)
  goThroughSocks(SocksClient, proxy, socket, { host: address, port }, passage)
}
