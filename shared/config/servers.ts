/**
 * From `server`, `retry-class` and `zone` sections to what qmgr is told of servers of others. The built-in sections
 * for big providers (`providers.ts`) come after the config's own, those of a name that the config uses are left out.
 */
import { providerSections } from './providers.ts'
import type { Config, Section } from './schema.ts'
import type { QmgrSlice, RetryClassSlice, ScheduleSlice, ServerSlice } from './slices.ts'

type Servers = Pick<QmgrSlice, 'servers' | 'retryClasses' | 'zoneSchedules'>

export function buildServers(config: Config): Servers {
  const { server, 'retry-class': classes } = allServers(config)
  return {
    servers: server.map(serverSlice),
    retryClasses: classes.map(classSlice),
    zoneSchedules: Object.fromEntries(
      config.zone.flatMap(({ name, values }) => {
        const schedule = scheduleSlice(values)
        return Object.values(schedule).every((one) => one === null) ? [] : [[name, schedule] as const]
      }),
    ),
  }
}

/** The config's own, and those of providers. */
export function allServers(config: Config): Pick<Config, 'server' | 'retry-class'> {
  const known = config.qmgr.values['known-providers'] === 'yes' ? providerSections() : null
  return {
    server: merged(config.server, known?.server),
    'retry-class': merged(config['retry-class'], known?.['retry-class']),
  }
}

/** Patterns of the hosts that a section is for. */
export function matchOf({ name, values }: Config['server'][number]): string[] {
  const given = values['match-mx'].flat()
  return given.length > 0 ? given : [name]
}

function merged<S extends { name: string }>(own: readonly S[], known: readonly S[] = []): S[] {
  const names = new Set(own.map(({ name }) => name))
  return [...own, ...known.filter(({ name }) => !names.has(name))]
}

function serverSlice(section: Config['server'][number]): ServerSlice {
  const { name, values } = section
  return {
    name,
    match: matchOf(section),
    maxConnections: values['max-connections'],
    rate: values.rate,
    recipientsPerTransaction: values['recipients-per-transaction'],
    transactionsPerConnection: values['transactions-per-connection'],
    connectionIdle: values['connection-idle'],
    schedule: scheduleSlice(values),
  }
}

function classSlice({ name, values }: Config['retry-class'][number]): RetryClassSlice {
  return {
    name,
    codes: values.codes,
    text: values.text.flat(),
    match: values['match-mx'].flat(),
    zones: values.zones.flat(),
    schedule: scheduleSlice(values),
    suspend: values.suspend,
    hint: values.hint,
  }
}

type Scheduled = Pick<
  Section<typeof import('./options.ts').retryClassBlock>['values'],
  'retry' | 'lifetime' | 'bounce-lifetime' | 'delay-warning'
>

function scheduleSlice(values: Scheduled): ScheduleSlice {
  return {
    retry: values.retry,
    lifetime: values.lifetime,
    bounceLifetime: values['bounce-lifetime'],
    delayWarning: values['delay-warning'],
  }
}
