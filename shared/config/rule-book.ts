/**
 * What decides about submitted mail, in the words of the config with their places: nothing is decided by it, it is
 * read out to those who ask why (XWHY, `shared/README.md`). A rule without a place is a default.
 */
import { USUAL_UID } from './load.ts'
import {
  limitsBlock,
  listenerBlock,
  optionsBlock,
  policyBlock,
  qmgrBlock,
  serverBlock,
  smtpcBlock,
  zoneBlock,
} from './options.ts'
import type { Config, Section } from './schema.ts'
import type { BlockType, Option } from './section.ts'
import { allServers, matchOf } from './servers.ts'
import { formatPlace, type Span } from './source.ts'

export interface Rule {
  text: string
  /** `file:line:column`, or '' where nobody wrote it. */
  place: string
}

export interface RuleBook {
  /** By the name of the section; the first rule is the section itself. */
  listeners: Record<string, Rule[]>
  policies: Record<string, Rule[]>
  /** What holds for each uid where its policy has no `limit`. */
  uids: Rule[]
  zones: Record<string, Rule[]>
  /** In the order in which they are asked; see `serverFor`. */
  servers: { match: string[]; rules: Rule[] }[]
  /** Classes of replies after which mail waits as they say. */
  classes: { match: string[]; zones: string[]; rule: Rule }[]
  /** What holds on the way out where nothing more particular does. */
  outgoing: Rule[]
}

export const emptyBook: RuleBook = {
  ...{ listeners: {}, policies: {}, uids: [] },
  ...{ zones: {}, servers: [], classes: [], outgoing: [] },
}

/** Said of each listener, whether somebody wrote it or not. */
const LIMITS = ['message-size-limit', 'recipient-limit', 'session-limit']

/** A list of a thousand patterns is not read out. */
const LONGEST = 400

/** What decides about sending; who asks may be anybody, so no file, no name and no password of a proxy is told. */
const DECIDES =
  /^(type|require-signature|forged|cut-through|cut-through-deadline|tls|tls-names|match-mx|rate|max-connections|retry|lifetime|bounce-lifetime|delay-warning|recipients-per-transaction|transactions-per-connection|connection-idle)$/

function decidingRules<B extends BlockType>(block: B, section: Section<B>): Rule[] {
  const [title, ...options] = rulesOf(block, section, [])
  const deciding = options.filter(({ text }) => DECIDES.test(text.split(' ')[0] ?? ''))
  return title ? [title, ...deciding] : deciding
}

/** Of the whole way out. */
const SCHEDULE = ['retry', 'lifetime', 'bounce-lifetime', 'delay-warning']

export function buildRuleBook(config: Config): RuleBook {
  const { limits, listener, options, policy } = config
  const whole = ruleOf(optionsBlock, options, 'message-size-limit')
  const uid = limits.where.has('uid') ? limits.values.uid : [USUAL_UID]
  return {
    listeners: Object.fromEntries(
      listener.map((one) => {
        const inherits = one.values['message-size-limit'] === null
        return [one.name, [...rulesOf(listenerBlock, one, LIMITS), ...(inherits ? [whole] : [])]]
      }),
    ),
    policies: Object.fromEntries(policy.map((one) => [one.name, rulesOf(policyBlock, one, [])])),
    uids: [ruleOf(limitsBlock, { ...limits, values: { ...limits.values, uid } }, 'uid')],
    zones: Object.fromEntries(config.zone.map((one) => [one.name, decidingRules(zoneBlock, one)])),
    ...wayOut(config),
  }
}

function wayOut(config: Config): Pick<RuleBook, 'servers' | 'classes' | 'outgoing'> {
  const { server, 'retry-class': classes } = allServers(config)
  return {
    servers: server.map((one) => ({ match: matchOf(one), rules: decidingRules(serverBlock, one) })),
    classes: classes.map(({ name, at, values }) => ({
      match: values['match-mx'].flat(),
      zones: values.zones.flat(),
      rule: { text: `retry-class "${name}"`, place: formatPlace(at) },
    })),
    outgoing: [
      ...SCHEDULE.map((name) => titled('qmgr', ruleOf(qmgrBlock, config.qmgr, name))),
      titled('smtpc', ruleOf(smtpcBlock, config.smtpc, 'tls')),
    ],
  }
}

function titled(block: string, { text, place }: Rule): Rule {
  return { text: `${block} ${text}`, place }
}

/** For the resolver: where each zone stands. */
export function zonePlaces({ zone }: Config): Record<string, string> {
  return Object.fromEntries(zone.map(({ name, at }) => [name, formatPlace(at)]))
}

/** The section, then its options in the order of the table: those that were given, and `always`. */
function rulesOf<B extends BlockType>(block: B, section: Section<B>, always: readonly string[]): Rule[] {
  const values: Readonly<Record<string, unknown>> = section.values
  const said = Object.keys(block.options).filter(
    // what was written and is no good has no value
    (name) => values[name] !== null && (section.where.has(name) || always.includes(name)),
  )
  const title = { text: `${block.name} "${section.name}"`, place: formatPlace(section.at) }
  return [title, ...said.map((name) => ruleOf(block, section, name))]
}

function ruleOf<B extends BlockType>(block: B, section: Section<B>, name: string): Rule {
  const values: Readonly<Record<string, unknown>> = section.values
  const where: Span | undefined = section.where.get(name)
  const option: Option<unknown> | undefined = block.options[name]
  const value = option ? printed(option, values[name]) : ''
  return { text: value === '' ? name : `${name} ${value}`, place: where ? formatPlace(where) : '' }
}

function printed({ type, many }: Option<unknown>, value: unknown): string {
  if (type.syntax === '') return ''
  const all: readonly unknown[] = many && Array.isArray(value) ? value : [value]
  const text = all.map((one) => type.print(one)).join(' ')
  return text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text
}
