/**
 * Puts the resolver together from its slice; done again, whole, at each new config, so nothing old lives on.
 */
import { performance } from 'node:perf_hooks'
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { ResolverSlice } from '../../shared/config/slices.ts'
import { Callers } from './callers.ts'
import { nameClient } from './client-name.ts'
import { Stub } from './dns/stub.ts'
import { Greylist } from './greylist/greylist.ts'
import { type HostsFile, parseHosts } from './hosts-file.ts'
import { linesOf } from './include-file.ts'
import { ListPages } from './list-pages.ts'
import { LocalZones } from './local-zones.ts'
import { Maps } from './maps/maps.ts'
import { NameServers } from './name-servers.ts'
import { NextHops } from './next-hops.ts'
import { Reports } from './reports/reports.ts'
import { type Question, type Resolution, Resolver } from './resolver.ts'
import { Routes } from './routes.ts'
import { type ScreenAnswer, Screener, type ScreenQuestion } from './screener.ts'
import { type SenderPolicyAnswer, type SenderPolicyQuestion, senderPolicy } from './spf/sender-policy.ts'
import { Forwarding } from './srs/forwarding.ts'
import { fetchPolicy } from './sts/fetch.ts'
import { StsPolicies } from './sts/policies.ts'
import { StsStore } from './sts/store.ts'
import { lookUpText, type TextAnswer, type TextQuestion } from './texts.ts'
import { WatchedFile } from './watched-file.ts'

/** Less than the bus's deadline for `resolve`, and than the patience of a client at RCPT. */
const BUDGET_MS = 25_000

export interface Assembled {
  resolve(question: Question): Resolution | Promise<Resolution>
  expand(question: Payload<'expand'>): Promise<Answer<'expand'>>
  senderPolicy(question: SenderPolicyQuestion): Promise<SenderPolicyAnswer>
  screen(question: ScreenQuestion): Promise<ScreenAnswer>
  nameClient(question: Payload<'name-client'>): Promise<Answer<'name-client'>>
  greylist(question: Payload<'greylist'>): Answer<'greylist'> | Promise<Answer<'greylist'>>
  greylistAct(question: Payload<'greylist-act'>): Promise<Answer<'greylist-act'>>
  lookUpText(question: TextQuestion): TextAnswer | Promise<TextAnswer>
  lookUp(question: Payload<'look-up'>): Promise<Answer<'look-up'>>
  countDmarc(news: Payload<'dmarc-counts'>): void
  countTls(news: Payload<'tls-counts'>): void
  reportsAct(question: Payload<'reports-act'>): Promise<Answer<'reports-act'>>
  caller(question: Payload<'caller'>): Answer<'caller'>
  /** What mcp says of the unbound that it runs for us. */
  setValidator(isUp: boolean): void
  figures(): Record<string, number>
  close(): void
}

const PASSES: Answer<'greylist'> = { wait: 0, known: false }
const NO_REPORTS: Answer<'reports-act'> = { reports: [], off: true, sent: 0, failed: 0 }
const NOTHING: Answer<'greylist-act'> = { entries: [], next: null, removed: 0 }

export function assemble(slice: ResolverSlice, log: Log): Assembled {
  const now = () => performance.now()
  const { cacheEntries, cacheOctets, hostname, smtpPort } = slice
  const names = new NameServers(slice, log, now)
  const dns = new Stub({ servers: () => names.current(), cacheEntries, cacheOctets, log, now })
  const hosts = hostsFile(log, now)
  const isOurs = isOneOf(slice.ownAddresses)
  const sts = slice.sts ? stsPolicies(slice.sts, dns, log) : undefined
  const nextHops = new NextHops({
    ...{ sts, dns, hosts, hostname, smtpPort, cacheEntries, isOurs, now },
    budget: BUDGET_MS,
  })
  const local = new LocalZones({ slice, log, passwdFile: '/etc/passwd' })
  const maps = new Maps({ maps: slice.maps, dns, delimiter: slice.recipientDelimiter, log, now })
  const routes = new Routes({ relays: slice.relays, nextHops, maps, log })
  const callers = new Callers({ passwd: '/etc/passwd', group: '/etc/group' }, log, now)
  const forwarding =
    slice.srs && new Forwarding({ slice: slice.srs, isOurs: isHome(local), log, now, time: Date.now })
  const resolver = new Resolver({ slice, log, local, maps, nextHops, routes, forwarding, now })
  const lists = listsOf(resolver, log)
  const screener = new Screener({ slice, dns, log, now })
  const greylist = slice.greylist && new Greylist(slice.greylist, log)
  const texts = (name: string) => lookUpText(dns, { name })
  const reports = slice.reports && new Reports({ slice: slice.reports, hostname, log, dns, texts })
  local.look(now())
  return {
    resolve: (question) => (question.explain ? resolver.explain(question) : resolver.resolve(question)),
    expand: (question) => lists.page(question),
    senderPolicy: (question) => senderPolicy(dns, question, hostname),
    screen: (question) => screener.screen(question),
    nameClient: (question) => nameClient({ dns, hosts: hosts() }, question),
    greylist: (question) => greylist?.ask(question) ?? PASSES,
    greylistAct: async (question) => (await greylist?.act(question)) ?? NOTHING,
    lookUpText: (question) => lookUpText(dns, question),
    lookUp: async ({ questions }) => {
      maps.look(now())
      return { answers: await Promise.all(questions.map(({ map, use, key }) => maps.ask(map, use, key))) }
    },
    countDmarc: (news) => reports?.countDmarc(news),
    countTls: (news) => reports?.countTls(news),
    reportsAct: async (question) => (await reports?.act(question)) ?? NO_REPORTS,
    caller: (question) => callers.find(question),
    setValidator: (isUp) => {
      names.setValidator(isUp)
      if (!isUp || slice.dnssec !== 'unbound') return
      dns.forget()
      nextHops.forget()
    },
    figures: () => ({ ...resolver.figures(), ...dns.figures() }),
    close: () => {
      greylist?.close()
      sts?.close()
      lists.close()
      reports?.close()
      maps.close()
    },
  }
}

function isOneOf(addresses: readonly string[]): (address: string) => boolean {
  const all = new Set(addresses)
  return (address) => all.has(address)
}

function listsOf(resolver: Resolver, log: Log): ListPages {
  const sources = { ends: resolver.ends.bind(resolver), lines: linesOf, log }
  return new ListPages(sources, () => resolver.lookAgain(), log)
}

function stsPolicies(
  { caFile, directory }: NonNullable<ResolverSlice['sts']>,
  dns: Stub,
  log: Log,
): StsPolicies | undefined {
  const fetch = (domain: string, signal: AbortSignal) => fetchPolicy(domain, { dns, caFile }, signal)
  const wall = () => Date.now()
  try {
    return new StsPolicies({ dns, store: new StsStore(directory, wall()), fetch, log, now: wall })
  } catch (error) {
    log.error({ error: String(error) }, 'MTA-STS policies cannot be kept, so none is looked at')
    return undefined
  }
}

function hostsFile(log: Log, now: () => number): () => HostsFile {
  const file = new WatchedFile('/etc/hosts', parseHosts, log)
  const fallback = parseHosts('').value
  return () => {
    file.look(now())
    return file.value ?? fallback
  }
}

/** Mail of such domains leaves by us anyway, and what comes back is for us. */
function isHome(local: LocalZones): (domain: string) => boolean {
  return (domain) => {
    const zone = local.zone(domain)
    return zone !== null && zone.type !== 'remote' && zone.name !== '.'
  }
}
