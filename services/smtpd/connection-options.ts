/** What a connection is made of: its listener's things, and who is at the other end as far as that is known. */
import type { Log } from '../../shared/base/log.ts'
import type { ReadingSocket } from '../../shared/bus/reading.ts'
import type { PatienceSlice } from '../../shared/config/patience.ts'
import type { SmtpdSlice } from '../../shared/config/slices.ts'
import type { PeerCredentials } from '../../shared/system/credentials.ts'
import type { LoginAttempts } from './authenticator.ts'
import type { FilterMaker } from './filter/makers.ts'
import type { Listener } from './listener.ts'
import type { Tarpit } from './output.ts'
import type { QueueBus } from './queue-bus.ts'
import type { Sign } from './signing/signer.ts'
import type { Setting } from './state.ts'

export interface ConnectionOptions {
  /** Hands on what is read, good until it returns; null: the socket has events. */
  listen: ReadingSocket['listen'] | null
  listener: Listener
  bus: QueueBus
  log: Log
  setting: Setting
  site: SmtpdSlice
  /** By the kernel's word, of a local caller; null where it has none. */
  peer: PeerCredentials | null
  commandTimeout: number
  patience: PatienceSlice
  tarpit: Tarpit
  bareNewline: 'refuse' | 'normalise'
  inlineLimit: number
  /** Makes DKIM signatures; null: there are no keys. */
  sign: Sign | null
  filters: readonly FilterMaker[]
  logins: LoginAttempts | null
}
