/**
 * The resolver itself: an address in, what it stands for and where each copy goes out.
 *
 * Answers without a promise whenever files and caches suffice, and remembers whole answers for local addresses
 * until a map file changes, because a busy server asks for the same few addresses over and over.
 *
 * An address that stands for several is `found` when at least one of them is: those that fail for now or for ever
 * are targets without a route, so that qmgr asks for each again and the sender hears of each. Only when all
 * fail is the address itself refused or put off. When smtpd asks and DNS has no answer in time, that too is a
 * target without a route: the sender is not made to wait for other people's name servers.
 */
import { join } from 'node:path'
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { ResolverSlice, ZoneSlice } from '../../shared/config/slices.ts'
import type { Delivery, Mailbox, Target } from '../../shared/message/route.ts'
import { type Address, formatAddress, parseMailbox } from '../../shared/smtp/address.ts'
import { commandOrFileIn } from './alias-target.ts'
import { Cache } from './dns/cache.ts'
import { type CommandOrFile, type End, expand, type Failure } from './expansion.ts'
import { explain } from './explanation.ts'
import type { LocalZones } from './local-zones.ts'
import { expandByMaps, routesByMaps, usesMaps, type Walked } from './mapped-zones.ts'
import type { Maps } from './maps/maps.ts'
import type { NextHops } from './next-hops.ts'
import { type Refusal, type ReplyName, refusal, refusalOf, replyTo } from './replies.ts'
import type { Hop, Routes } from './routes.ts'
import type { Forwarding, Returned } from './srs/forwarding.ts'
import { classOf } from './zones.ts'

export type Resolution = Answer<'resolve'>
export type Question = Payload<'resolve'> & { queued: boolean }

/** A longer list costs more memory than time; anyone can ask for it under any number of `+details`. */
const MOST_REMEMBERED_TARGETS = 8

export interface ResolverOptions {
  slice: ResolverSlice
  log: Log
  local: LocalZones
  maps: Maps
  nextHops: Pick<NextHops, 'figures'>
  routes: Routes
  /** Null: mail that is sent on keeps its reverse-path. */
  forwarding: Forwarding | null
  /** Milliseconds of a clock that does not jump. */
  now: () => number
}

type Settled = { kind: 'target'; target: Target } | { kind: 'failed'; target: Target; refusal: Refusal }

export class Resolver {
  readonly #options: ResolverOptions
  readonly #answers: Cache<Resolution>
  readonly #mapped: boolean
  readonly #watches: boolean
  #version = -1
  #asked = 0

  constructor(options: ResolverOptions) {
    this.#options = options
    this.#mapped = usesMaps(options.slice.zones)
    this.#watches = this.#mapped || routesByMaps(options.slice.zones)
    this.#answers = new Cache(options.slice.cacheEntries)
  }

  /** @param question `queued`: qmgr asks, for a message that is ours already. */
  resolve(question: Question): Resolution | Promise<Resolution> {
    this.#asked++
    const now = this.#options.now()
    this.#forgetStale(now)
    if (question.via !== undefined) return this.#resolveVia(question, question.via)
    const key = question.expanded ? `=${question.address}` : question.address
    const known = this.#answers.get(key, now)
    if (known) return known
    const parsed = parseMailbox(question.address, { utf8: true })
    if (!parsed.ok) return refusal('notAnAddress')
    const returned = this.#options.forwarding?.returned(parsed.address)
    if (returned) return this.#giveBack(parsed.address, question, returned)
    return this.#answer(parsed.address, question, key)
  }

  /** A report about something that was sent on: it goes to who wrote that. */
  #giveBack(address: Address, question: Question, to: Returned): Resolution | Promise<Resolution> {
    if (to.kind !== 'address') return refusal(to.kind === 'later' ? 'mapsUnreadable' : 'unknownUser')
    const found = async (ends: readonly End[]): Promise<Resolution> => {
      const answer = await this.#conclude(address, question, null, ends)
      return answer.kind === 'found' ? { ...answer, bouncesOnly: true } : answer
    }
    const ends = this.ends(to.address, true, [])
    return ends instanceof Promise ? ends.then(found) : found(ends)
  }

  /** A command or a file, if the alias that named it still does. */
  #resolveVia(question: Question, via: string): Resolution | Promise<Resolution> {
    const parsed = parseMailbox(via, { utf8: true })
    if (!parsed.ok) return refusal('notAnAddress')
    const found = (ends: readonly End[]) => {
      const failure = ends.find((one) => one.kind === 'failed')
      const named = commandOrFileIn(ends, question.address)
      const all: readonly End[] = named ? [named] : failure ? [failure] : [unknown(parsed.address)]
      return this.#conclude(parsed.address, question, null, all)
    }
    const ends = this.ends(parsed.address, true, [])
    return ends instanceof Promise ? ends.then(found) : found(ends)
  }

  /** What an address stands for, lists not entered. */
  ends(address: Address, follow: boolean, path: readonly string[]): End[] | Promise<End[]> {
    const { local, maps } = this.#options
    if (!this.#mapped) return expand(address, local, follow, path)
    const walked = expandByMaps(address, local, maps, follow, path)
    return walked instanceof Promise ? walked.then(({ ends }) => ends) : walked.ends
  }

  /** The same, with what decided. */
  explain(question: Question): Resolution | Promise<Resolution> {
    const { local, slice } = this.#options
    const answer = this.resolve(question)
    const parsed = parseMailbox(question.address, { utf8: true })
    if (!parsed.ok) return answer
    const { zonePlaces: zones } = slice
    if (this.#mapped) return this.#explainMapped(answer, parsed.address, zones)
    const why = explain(parsed.address, local, { zones, aliasPlace: local.aliasPlace.bind(local) })
    return answer instanceof Promise ? answer.then((one) => ({ ...one, why })) : { ...answer, why }
  }

  async #explainMapped(
    answer: Resolution | Promise<Resolution>,
    address: Address,
    zones: Record<string, string>,
  ): Promise<Resolution> {
    const { directory } = await expandByMaps(address, this.#options.local, this.#options.maps, true)
    const why = explain(address, directory, { zones, aliasPlace: directory.aliasPlace.bind(directory) })
    return { ...(await answer), why }
  }

  /** Files that have changed are read. */
  lookAgain(): void {
    this.#forgetStale(this.#options.now())
  }

  figures(): Record<string, number> {
    return { asked: this.#asked, localCached: this.#answers.size, ...this.#options.nextHops.figures() }
  }

  #forgetStale(now: number): void {
    const { local, maps } = this.#options
    const version = local.look(now) + (this.#watches ? maps.look(now) : 0)
    if (version === this.#version) return
    this.#version = version
    this.#answers.clear()
  }

  #answer(address: Address, question: Question, key: string): Resolution | Promise<Resolution> {
    const { local, maps } = this.#options
    if (!this.#mapped)
      return this.#conclude(address, question, key, expand(address, local, !question.expanded))
    const walked = expandByMaps(address, local, maps, !question.expanded)
    const done = ({ ends, lasting }: Walked) => this.#conclude(address, question, lasting ? key : null, ends)
    return walked instanceof Promise ? walked.then(done) : done(walked)
  }

  /** @param key null: what was found holds for now only. */
  #conclude(
    address: Address,
    question: Question,
    key: string | null,
    ends: readonly End[],
  ): Resolution | Promise<Resolution> {
    const { local } = this.#options
    const zone = local.zone(address.domain || (local.primary ?? ''))
    if (zone && classOf(zone) === 'remote' && question.mayRelay === false)
      return { kind: 'found', class: 'remote', zone: zone.name, targets: [{ address: question.address }] }
    const settled = ends.map((end) => this.#settle(end, question))
    if (settled.some((one) => one instanceof Promise))
      return Promise.all(settled).then((all) => conclude(zone, all))
    const answer = conclude(zone, settled as Settled[])
    const lasting =
      answer.kind === 'found' &&
      ends.length <= MOST_REMEMBERED_TARGETS &&
      ends.every((end) => end.kind === 'list' || (end.kind === 'mailbox' && !isBehindLmtp(end)))
    if (lasting && key !== null) this.#answers.set(key, answer, Number.POSITIVE_INFINITY)
    return answer
  }

  #settle(end: End, question: Question): Settled | Promise<Settled> {
    switch (end.kind) {
      case 'failed':
        this.#explain(question, end.failure)
        return failed(end.address, replyTo(end.failure, question.queued))
      case 'mailbox':
        return isBehindLmtp(end) ? this.#settleElsewhere(end, question) : this.#settleMailbox(end)
      case 'pipe':
      case 'file':
        return this.#settleCommandOrFile(end)
      case 'list':
        return { kind: 'target', target: { address: formatAddress(end.address), list: true } }
      case 'elsewhere':
        return this.#settleElsewhere(end, question)
      default: {
        const never: never = end
        throw new Error(`unknown end ${String(never)}`)
      }
    }
  }

  #settleElsewhere(end: Elsewhere, question: Question): Settled | Promise<Settled> {
    const { forwarding, routes } = this.#options
    const isSentOn = question.mail?.forwarded || isMadeByAlias(end, question)
    const sentOn = forwarding && isAbroad(end.zone) && isSentOn
    // whose it is, only qmgr can say, which asks again
    if (sentOn && !question.mail) return { kind: 'target', target: { address: formatAddress(end.address) } }
    const sender = sentOn ? forwarding.senderFor(question.mail?.sender ?? '') : undefined
    const hop = routes.find(end.zone, end.address, question.mail ?? null)
    const settle = (found: Hop) => settleHop(end, bearing(found, sender), question.queued)
    return hop instanceof Promise ? hop.then(settle) : settle(hop)
  }

  #settleMailbox({ address, zone, user }: Extract<End, { kind: 'mailbox' }>): Settled {
    const mailbox = this.#options.local.mailbox(zone, user, address)
    if (!mailbox) return failed(address, 'mailboxNotOurs')
    const local = { kind: 'local', zone: zone.name, destination: `local:${mailbox.uid}`, mailbox } as const
    const route = zone.forward ? { ...local, forward: true } : local
    return { kind: 'target', target: { address: formatAddress(address), route } }
  }

  #settleCommandOrFile({ kind, address, zone, via, text }: CommandOrFile): Settled {
    if (kind === 'file' && text === '/dev/null') {
      const nowhere = { kind: 'discard', zone: zone.name, destination: 'discard' } as const
      return {
        kind: 'target',
        target: { address: formatAddress(address), via: formatAddress(via), route: nowhere },
      }
    }
    const account = this.#options.local.aliasAccount(zone)
    if (!account) return failed(address, 'aliasUnsupported')
    const { user, uid, home } = account
    const delivery: Delivery = kind === 'pipe' ? { kind, command: text, user } : { kind, path: text, user }
    const mailbox: Mailbox = { ...account, format: 'maildir', path: join(home, 'Maildir') }
    const route = { kind: 'local', zone: zone.name, destination: `local:${uid}`, mailbox, delivery } as const
    return {
      kind: 'target',
      target: { address: formatAddress(address), via: formatAddress(via), route },
    }
  }

  /** What is the fault of the maps goes to the log with its place; an unknown user is nobody's fault. */
  #explain({ address }: Question, failure: Failure): void {
    if (failure.kind === 'unknown' || failure.kind === 'no-zone') return
    const path = 'path' in failure ? { path: failure.path.join(' -> ') } : {}
    this.#options.log.warn({ address, ...failure, ...path }, 'address cannot be expanded')
  }
}

function unknown(address: Address): End {
  return { kind: 'failed', address, failure: { kind: 'unknown' } }
}

type Elsewhere = Pick<Extract<End, { kind: 'elsewhere' }>, 'address' | 'zone'>

function isBehindLmtp({ zone }: Extract<End, { kind: 'mailbox' }>): boolean {
  return zone.type === 'local' && zone.hosts.length > 0
}

/** The next host is not one of ours, which would know us. */
function isAbroad({ name, type }: ZoneSlice): boolean {
  return type === 'remote' || name === '.'
}

function isMadeByAlias({ address }: Elsewhere, question: Question): boolean {
  return question.expanded === true || formatAddress(address) !== question.address
}

function bearing(hop: Hop, sender: string | undefined): Hop {
  if (sender === undefined || hop.kind !== 'route' || hop.route.kind !== 'smtp') return hop
  return { ...hop, route: { ...hop.route, sender } }
}

function settleHop({ address, zone }: Elsewhere, hop: Hop, queued: boolean): Settled {
  const text = formatAddress(address)
  switch (hop.kind) {
    case 'route':
      return { kind: 'target', target: { address: text, route: hop.route } }
    case 'discarded': {
      const route = { kind: 'discard', zone: zone.name, destination: 'discard' } as const
      return { kind: 'target', target: { address: text, route } }
    }
    case 'open':
      return { kind: 'target', target: { address: text } }
    case 'said':
      return { kind: 'failed', target: { address: text }, refusal: refusalOf({ ...hop.reply, host: '' }) }
    case 'later':
      if (!queued) return { kind: 'target', target: { address: text } }
      return failed(address, hop.reply)
    case 'refused':
      return failed(address, hop.reply)
    default: {
      const never: never = hop
      throw new Error(`unknown hop ${String(never)}`)
    }
  }
}

function failed(address: Address, reply: ReplyName): Settled {
  return { kind: 'failed', target: { address: formatAddress(address) }, refusal: refusal(reply) }
}

/** Targets with a route come first: whoever splits a recipient keeps the first one. */
function conclude(zone: ZoneSlice | null, all: readonly Settled[]): Resolution {
  const good = all.filter((one) => one.kind === 'target')
  if (good.length === 0 || !zone) return worst(all)
  const targets = [...all].sort((a, b) => rank(a) - rank(b)).map((one) => one.target)
  const { name, cutThrough, requireSignature, forged } = zone
  return {
    kind: 'found',
    class: classOf(zone),
    zone: name,
    targets,
    ...(cutThrough > 0 && { cutThrough }),
    ...(requireSignature && { requireSignature }),
    ...(forged !== 'tag' && { forged }),
    // Others do not look at the local part.
    ...(zone.type !== 'local' &&
      zone.recipients === null &&
      zone.routing.length === 0 && { wholeDomain: true }),
  }
}

function rank(settled: Settled): number {
  if (settled.kind === 'failed') return 2
  return settled.target.route ? 0 : 1
}

/** Later, when a single one may still come good. */
function worst(all: readonly Settled[]): Resolution {
  const refusals = all.flatMap((one) => (one.kind === 'failed' ? [one.refusal] : []))
  return refusals.find(({ kind }) => kind === 'later') ?? refusals[0] ?? refusal('noZone')
}
