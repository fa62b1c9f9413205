/**
 * What the configuration is read against: the machine's name, interfaces and accounts, and who reads it.
 * Collected in one place so that a test can stand for any machine.
 */
import { accessSync, constants } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'
import { type Accounts, systemAccounts } from './accounts.ts'

export interface Facts {
  /** Everything runs as the caller, even when that is root; without root it is so anyway. */
  asCaller: boolean
  uid: number
  gid: number
  /** Whether users that do not exist yet are only worth a warning: the config may be meant for another machine. */
  usersMayBeMissing: boolean
  /** Stands for the option `directory`, with `run` below it. */
  directory: string | null
  hostname: string
  /** The machine's own addresses with their networks, `192.0.2.7/24`. */
  interfaces: readonly string[]
  accounts: Accounts
  /** Whether a file can be read, and if not, why. */
  readable: (path: string) => 'yes' | 'absent' | 'forbidden'
}

/** What a caller may say of itself; the rest is taken from the machine. */
export type Overrides = Partial<Omit<Facts, 'directory'>> & { directory?: string | undefined }

export function collectFacts(overrides: Overrides = {}): Facts {
  return {
    asCaller: overrides.asCaller ?? false,
    usersMayBeMissing: overrides.usersMayBeMissing ?? false,
    uid: overrides.uid ?? process.getuid?.() ?? 0,
    gid: overrides.gid ?? process.getgid?.() ?? 0,
    directory: overrides.directory ?? null,
    hostname: overrides.hostname ?? hostname(),
    interfaces: overrides.interfaces ?? ownNetworks(),
    accounts: overrides.accounts ?? systemAccounts(),
    readable: overrides.readable ?? readable,
  }
}

/** No worker changes its user: there is no root to do it, or the caller asked for that. */
export function staysCaller(facts: Facts): boolean {
  return facts.asCaller || facts.uid !== 0
}

function ownNetworks(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ cidr }) => cidr)
    .filter((cidr) => cidr !== null)
}

function readable(path: string): 'yes' | 'absent' | 'forbidden' {
  try {
    accessSync(path, constants.R_OK)
    return 'yes'
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'absent' : 'forbidden'
  }
}
