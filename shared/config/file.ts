/**
 * The top level of a config file: its sections, read by the table below.
 *
 * `acl` is the one section that is a list rather than a block of options. `include` never gets here: it was
 * replaced by what it names (`include.ts`).
 */
import { many, maybe } from './blocks.ts'
import { type MatchElement, matchList, matchWords } from './match-list.ts'
import * as o from './options.ts'
import { type BlockType, section } from './section.ts'
import type { Span } from './source.ts'
import type { Type } from './types.ts'

export interface NamedList {
  name: string
  at: Span
  elements: MatchElement[]
}

const acl: Type<NamedList> = {
  syntax: '"NAME" { [!]MATCH; … }',
  read: (args) => {
    const word = args.word('the name of the list')
    const elements = word && matchList.read(args)
    if (!elements) return undefined
    if (/^[a-z][a-z0-9_.-]{0,63}$/i.test(word.text) && !matchWords.includes(word.text)) {
      return { name: word.text, at: word, elements }
    }
    return args.fail(
      word,
      `\`${word.text}\` cannot be the name of an acl`,
      `letters, digits, \`_\`, \`.\` and \`-\`; not ${matchWords.join(', ')}`,
    )
  },
  valid: (value) => typeof value === 'object' && value !== null,
  print: ({ elements }) => matchList.print(elements),
}

const about = { doc: '', readers: ['check'] } as const

export const fileBlock = {
  name: '',
  title: null,
  doc: '',
  homeOf: o.optionsBlock.homeOf,
  options: {
    options: maybe(section(o.optionsBlock), about),
    acl: many(acl, about),
    tls: many(section(o.tlsBlock), about),
    auth: many(section(o.authBlock), about),
    filter: many(section(o.filterBlock), about),
    listener: many(section(o.listenerBlock), about),
    dkim: many(section(o.dkimBlock), about),
    policy: many(section(o.policyBlock), about),
    access: many(section(o.accessBlock), about),
    screening: many(section(o.screeningBlock), about),
    dnsbl: many(section(o.dnsblBlock), about),
    dnswl: many(section(o.dnswlBlock), about),
    greylist: maybe(section(o.greylistBlock), about),
    map: many(section(o.mapBlock), about),
    relay: many(section(o.relayBlock), about),
    routing: many(section(o.routingBlock), about),
    zone: many(section(o.zoneBlock), about),
    server: many(section(o.serverBlock), about),
    'retry-class': many(section(o.retryClassBlock), about),
    qmgr: maybe(section(o.qmgrBlock), about),
    throttle: maybe(section(o.throttleBlock), about),
    limits: maybe(section(o.limitsBlock), about),
    lda: maybe(section(o.ldaBlock), about),
    smtpc: maybe(section(o.smtpcBlock), about),
    resolver: maybe(section(o.resolverBlock), about),
    srs: maybe(section(o.srsBlock), about),
    web: maybe(section(o.webBlock), about),
    reports: maybe(section(o.reportsBlock), about),
    processes: maybe(section(o.processesBlock), about),
    logging: maybe(section(o.loggingBlock), about),
    controls: maybe(section(o.controlsBlock), about),
  },
} as const satisfies BlockType

/** What opens a section at the top level. */
export const sectionWords: ReadonlySet<string> = new Set(Object.keys(fileBlock.options))
