/**
 * Whom the stub asks at this moment: the servers of the config, else of `/etc/resolv.conf`, which is read again when
 * it changes; in their place the unbound that mcp runs for us, while mcp says that it is up.
 *
 * Whose word on DNSSEC is believed is the config's `dnssec`. With `unbound` nobody else's is, so that while it is away
 * every answer counts as unproven: mail goes on as it would without DNSSEC, and nothing is refused for that.
 */
import type { Log } from '../../shared/base/log.ts'
import type { ResolverSlice } from '../../shared/config/slices.ts'
import type { Server } from './dns/exchange.ts'
import { parseResolvConf, parseServer, type ResolvConf, type ServerSet } from './dns/servers.ts'
import { WatchedFile } from './watched-file.ts'

const FILE = '/etc/resolv.conf'

export type NameServerSlice = Pick<
  ResolverSlice,
  'nameservers' | 'dnsTimeout' | 'dnsAttempts' | 'dnssec' | 'validatorPort'
>

export class NameServers {
  readonly #slice: NameServerSlice
  readonly #now: () => number
  readonly #named: readonly Server[]
  readonly #validator: readonly Server[]
  readonly #file: WatchedFile<ResolvConf>
  #validated = false
  #from: ResolvConf | null = null
  #set: ServerSet | null = null

  constructor(slice: NameServerSlice, log: Log, now: () => number) {
    this.#slice = slice
    this.#now = now
    this.#file = new WatchedFile(FILE, parseResolvConf, log)
    const named = slice.nameservers.map(parseServer).filter((server) => server !== null)
    this.#named = this.#believed(named)
    this.#validator = [{ address: '127.0.0.1', port: slice.validatorPort, trusted: true }]
  }

  /** What mcp says of its unbound. */
  setValidator(isUp: boolean): void {
    this.#validated = isUp && this.#slice.dnssec === 'unbound'
  }

  /** Cheap: it is asked with each question to a server. */
  current(): ServerSet {
    const { dnsTimeout: timeout, dnsAttempts: attempts } = this.#slice
    if (this.#validated) return { servers: this.#validator, timeout, attempts }
    if (this.#named.length > 0) return { servers: this.#named, timeout, attempts }
    this.#file.look(this.#now())
    const found = this.#file.value ?? parseResolvConf('').value
    if (this.#set && found === this.#from) return this.#set
    this.#from = found
    this.#set = {
      servers: this.#believed(found.servers),
      timeout: found.timeout ?? timeout,
      attempts: found.attempts ?? attempts,
    }
    return this.#set
  }

  #believed(servers: readonly Server[]): readonly Server[] {
    return this.#slice.dnssec === 'servers' ? servers : servers.map((one) => ({ ...one, trusted: false }))
  }
}
