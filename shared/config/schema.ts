/**
 * From what was written to the whole: defaults filled in and everything validated once more, both by convict
 * with a schema that is made from the option table.
 *
 * Named sections are lists, never keys: a dot in a key makes convict throw. The environment and the command
 * line are kept from it. A refusal here means that a type's `read` lets through what its `valid` refuses: our
 * bug, reported as a problem and never thrown. convict is loaded with the first config that is read.
 */
import { createRequire } from 'node:module'
import type { Config as Convict, Schema } from 'convict'
import type { ValuesOfBlock } from './blocks.ts'
import type { NamedList } from './file.ts'
import * as o from './options.ts'
import type { Problems } from './problem.ts'
import type { BlockType, Option, RawSection } from './section.ts'
import type { Span } from './source.ts'

export interface Section<B extends BlockType> {
  name: string
  at: Span
  values: ValuesOfBlock<B>
  where: ReadonlyMap<string, Span>
  /** See RawSection. */
  meant: ReadonlySet<string>
}

export interface Config {
  /** The file's beginning. */
  at: Span
  /** The statements that were given or meant. */
  meant: ReadonlySet<string>
  options: Section<typeof o.optionsBlock>
  acl: NamedList[]
  tls: Section<typeof o.tlsBlock>[]
  auth: Section<typeof o.authBlock>[]
  filter: Section<typeof o.filterBlock>[]
  listener: Section<typeof o.listenerBlock>[]
  dkim: Section<typeof o.dkimBlock>[]
  policy: Section<typeof o.policyBlock>[]
  access: Section<typeof o.accessBlock>[]
  screening: Section<typeof o.screeningBlock>[]
  dnsbl: Section<typeof o.dnsblBlock>[]
  dnswl: Section<typeof o.dnswlBlock>[]
  greylist: Section<typeof o.greylistBlock>
  map: Section<typeof o.mapBlock>[]
  relay: Section<typeof o.relayBlock>[]
  routing: Section<typeof o.routingBlock>[]
  zone: Section<typeof o.zoneBlock>[]
  server: Section<typeof o.serverBlock>[]
  'retry-class': Section<typeof o.retryClassBlock>[]
  qmgr: Section<typeof o.qmgrBlock>
  throttle: Section<typeof o.throttleBlock>
  limits: Section<typeof o.limitsBlock>
  lda: Section<typeof o.ldaBlock>
  smtpc: Section<typeof o.smtpcBlock>
  resolver: Section<typeof o.resolverBlock>
  srs: Section<typeof o.srsBlock>
  web: Section<typeof o.webBlock>
  reports: Section<typeof o.reportsBlock>
  processes: Section<typeof o.processesBlock>
  logging: Section<typeof o.loggingBlock>
  channel: Section<typeof o.channelBlock>[]
  controls: Section<typeof o.controlsBlock>
}

/** The place of an option, or of its section where it was not given. */
export function placeOf<B extends BlockType>(section: Section<B>, option: keyof B['options'] & string): Span {
  return section.where.get(option) ?? section.at
}

type Values = Record<string, unknown>

const single = [
  o.optionsBlock,
  o.qmgrBlock,
  o.throttleBlock,
  o.limitsBlock,
  o.greylistBlock,
  o.ldaBlock,
  o.smtpcBlock,
  o.resolverBlock,
  o.srsBlock,
  o.webBlock,
  o.reportsBlock,
  o.processesBlock,
  o.loggingBlock,
  o.controlsBlock,
] as const
const listed = [
  o.tlsBlock,
  o.authBlock,
  o.filterBlock,
  o.listenerBlock,
  o.dkimBlock,
  o.policyBlock,
  o.accessBlock,
  o.screeningBlock,
  o.dnsblBlock,
  o.dnswlBlock,
  o.mapBlock,
  o.relayBlock,
  o.routingBlock,
  o.zoneBlock,
  o.serverBlock,
  o.retryClassBlock,
  o.channelBlock,
] as const

/** By block: its defaults, as the one entry of a list. */
type Defaults = Record<string, readonly Values[] | { defaults: readonly Values[] }>

export function assemble(file: RawSection, problems: Problems): Config {
  const convict = openConvict()
  const config = fillIn(file, convict.getProperties() as Defaults)
  validate(convict, config, problems)
  return config
}

/** With the table's own defaults and no validation of the whole: for commands that look for a path and start fast. */
export function sketch(file: RawSection): Config {
  const defaults: Defaults = {}
  for (const block of single) defaults[block.name] = [fallbacks(block)]
  for (const block of listed) defaults[block.name] = { defaults: [fallbacks(block)] }
  return fillIn(file, defaults)
}

function fallbacks(block: BlockType): Values {
  return Object.fromEntries(Object.entries(block.options).map(([name, { fallback }]) => [name, fallback]))
}

function fillIn(file: RawSection, defaults: Defaults): Config {
  const raw = (name: string) => file.given.get(name) as RawSection | undefined
  const raws = (name: string) => (file.given.get(name) ?? []) as RawSection[]
  const whole = <B extends BlockType>(block: B): Section<B> => {
    const written = raw(block.name) ?? {
      name: '',
      at: file.at,
      given: new Map(),
      where: new Map(),
      meant: new Set(),
    }
    return complete<B>(written, defaultsOf(defaults, block))
  }
  const all = <B extends BlockType>(block: B, written: RawSection[]): Section<B>[] =>
    written.map((one) => complete<B>(one, defaultsOf(defaults, block)))
  return {
    at: file.at,
    meant: file.meant,
    acl: (file.given.get('acl') ?? []) as NamedList[],
    options: whole(o.optionsBlock),
    qmgr: whole(o.qmgrBlock),
    throttle: whole(o.throttleBlock),
    limits: whole(o.limitsBlock),
    greylist: whole(o.greylistBlock),
    lda: whole(o.ldaBlock),
    smtpc: whole(o.smtpcBlock),
    resolver: whole(o.resolverBlock),
    srs: whole(o.srsBlock),
    web: whole(o.webBlock),
    reports: whole(o.reportsBlock),
    processes: whole(o.processesBlock),
    logging: whole(o.loggingBlock),
    controls: whole(o.controlsBlock),
    tls: all(o.tlsBlock, raws('tls')),
    auth: all(o.authBlock, raws('auth')),
    filter: all(o.filterBlock, raws('filter')),
    listener: all(o.listenerBlock, raws('listener')),
    dkim: all(o.dkimBlock, raws('dkim')),
    policy: all(o.policyBlock, raws('policy')),
    access: all(o.accessBlock, raws('access')),
    screening: all(o.screeningBlock, raws('screening')),
    dnsbl: all(o.dnsblBlock, raws('dnsbl')),
    dnswl: all(o.dnswlBlock, raws('dnswl')),
    map: all(o.mapBlock, raws('map')),
    relay: all(o.relayBlock, raws('relay')),
    routing: all(o.routingBlock, raws('routing')),
    zone: all(o.zoneBlock, raws('zone')),
    server: all(o.serverBlock, raws('server')),
    'retry-class': all(o.retryClassBlock, raws('retry-class')),
    channel: all(o.channelBlock, (raw('logging')?.given.get('channel') ?? []) as RawSection[]),
  }
}

function defaultsOf(defaults: Defaults, block: BlockType): Values {
  const own = defaults[block.name] ?? []
  return ('defaults' in own ? own.defaults : own)[0] ?? {}
}

function complete<B extends BlockType>(written: Omit<RawSection, 'block'>, defaults: Values): Section<B> {
  const values = { ...defaults, ...Object.fromEntries(written.given) } as ValuesOfBlock<B>
  return { name: written.name, at: written.at, values, where: written.where, meant: written.meant }
}

function validate(convict: Convict<unknown>, config: Config, problems: Problems): void {
  const plain: Record<string, unknown> = {}
  for (const { name } of single) plain[name] = [(config[name as keyof Config] as Section<BlockType>).values]
  for (const { name } of listed) {
    plain[name] = { all: (config[name as keyof Config] as Section<BlockType>[]).map(({ values }) => values) }
  }
  try {
    convict.load(plain).validate({ allowed: 'strict' })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    problems.error(config.at, `the configuration as a whole is not valid: ${reason}`)
  }
}

function openConvict(): Convict<unknown> {
  const load = createRequire(import.meta.url)
  const convict = load('convict') as (schema: Schema<unknown>, options: object) => Convict<unknown>
  const schema: Record<string, unknown> = {}
  for (const block of single) schema[block.name] = sectionsOf(block, [fallbacks(block)])
  for (const block of listed)
    schema[block.name] = { defaults: sectionsOf(block, [fallbacks(block)]), all: sectionsOf(block, []) }
  return convict(schema as Schema<unknown>, { env: {}, args: [] })
}

/**
 * One leaf for all options of a block, a list: with a leaf for each, convict looks for each of them among all others,
 * which was most of the time it took to read a config.
 */
function sectionsOf(block: BlockType, sections: readonly Values[]): Record<string, unknown> {
  const format = (given: readonly Values[]) => {
    for (const values of given) requireAll(block, values)
  }
  return { doc: block.doc, default: sections, format }
}

function requireAll({ options }: BlockType, values: Values): void {
  for (const [name, value] of Object.entries(values)) requireValid(options[name], value, name)
}

function requireValid(option: Option<unknown> | undefined, value: unknown, name: string): void {
  if (!option) throw new Error(`${name}: no such option`)
  if (value === null && option.fallback === null) return
  const values = option.many ? (value as unknown[]) : [value]
  if (values.every((one) => option.type.valid(one) || one === option.fallback)) return
  throw new Error(`${name} ${option.type.syntax}: not valid`)
}
