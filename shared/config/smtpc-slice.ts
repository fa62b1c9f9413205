/** What smtpc is told; part of `slice.ts`. */
import { buildWays, loginsOf } from './outgoing.ts'
import { tlsReports } from './reports.ts'
import type { Config } from './schema.ts'
import type { SmtpcSlice } from './slices.ts'

export function smtpcSlice(config: Config, hostname: string): SmtpcSlice {
  const { values } = config.smtpc
  return {
    hostname,
    eightBit: values['eight-bit'],
    ways: buildWays(config),
    logins: loginsOf(config),
    tlsReports: tlsReports(config, hostname),
    connectionIdle: values['connection-idle'],
    transactionsPerConnection: values['transactions-per-connection'],
    timeouts: {
      connect: values['connect-timeout'],
      greeting: values['greeting-timeout'],
      helo: values['helo-timeout'],
      mail: values['mail-timeout'],
      rcpt: values['rcpt-timeout'],
      dataInitiation: values['data-initiation-timeout'],
      dataBlock: values['data-block-timeout'],
      dataTermination: values['data-termination-timeout'],
      quit: values['quit-timeout'],
    },
  }
}
