/**
 * What holds for a session, worked out from its listener and its client: limits as they are configured, rights by the
 * listener's address match lists. Pure.
 *
 * Where a client's name matters it is worked out again once that is known (`naming`); until then, and while DNS cannot
 * tell it, no list matches by a name. Who may speak for others (XCLIENT) gets a function that works it out anew for the client that is named; the right
 * to do that stays with who speaks, all other rights go by the other.
 */
import { type ClientMatcher, compileClients, hasNames } from '../../shared/config/address-match.ts'
import type { RuleBook } from '../../shared/config/rule-book.ts'
import { isSubmission, type ListenerSlice } from '../../shared/config/slices.ts'
import { type AccessRule, dependOnName, isWelcome, rulesFor } from './access.ts'
import { whyBarred } from './admission.ts'
import { unknownClient } from './identity.ts'
import type { Assumed, AuthSetting, Grants, Named, Setting } from './state.ts'

const lists = ['allow', 'relay', 'proxy', 'xclient', 'xforward', 'vrfy', 'expn', 'etrn'] as const
const matchers = [...lists, 'exempt'] as const
export type Matches = Record<(typeof matchers)[number], ClientMatcher> & {
  /** One of them has names of clients. */
  byName: boolean
}

export function matchesOf(slice: ListenerSlice): Matches {
  const own = Object.fromEntries(lists.map((name) => [name, compileClients(slice[name])]))
  const exempt = slice.screening?.exempt ?? []
  const byName = hasNames(exempt) || lists.some((name) => hasNames(slice[name]))
  return { ...own, exempt: compileClients(exempt), byName } as Matches
}

/** What does not come from the client. */
export interface Ground {
  slice: ListenerSlice
  matches: Matches
  access: readonly AccessRule[]
  /** See Setting. */
  signs: Setting['signs']
  rules: RuleBook
  hostname: string
  qualifyDomain: string
  starttls: Setting['starttls']
  auth: AuthSetting | null
  session: string
}

/** Who is at the other end; `named` null: nobody has asked DNS, or not yet. */
interface Guest {
  client: string
  uid: number | undefined
  named: Named | null
}

export function settingFor(ground: Ground, client: string, uid: number | undefined): Setting {
  return settled(ground, client, null, (named) => {
    const setting = plainSetting(ground, { client, uid, named })
    return ground.matches.xclient(client, '') === 'yes'
      ? { ...setting, assume: assumeFor(ground, client) }
      : setting
  })
}

/** @param made what holds with a name. */
function settled(
  ground: Ground,
  client: string,
  known: Named | null,
  made: (named: Named | null) => Setting,
): Setting {
  const setting = made(known)
  if (known || !wantsName(ground, client)) return setting
  const naming = (named: Named) => ({
    setting: made(named),
    barred: whyBarred(ground, client, nameOf(named)),
  })
  return { ...setting, naming }
}

/** For filters, or because something depends on it. */
function wantsName({ slice, matches, access }: Ground, client: string): boolean {
  if (client === '') return false
  const { clientNames, filters } = slice
  if (clientNames === 'yes' || (clientNames === 'usual' && filters.length > 0)) return true
  return (
    dependOnName(access, client) ||
    (matches.byName && matchers.some((one) => matches[one](client, null) === 'unclear'))
  )
}

/** In lower case, '' for none that leads back; null: DNS did not tell. */
function nameOf(named: Named | null): string | null {
  if (named === null || named.kind === 'later') return null
  return named.kind === 'confirmed' ? named.name.toLowerCase() : ''
}

/** What holds for those whom this client speaks for. */
function assumeFor(ground: Ground, client: string): NonNullable<Setting['assume']> {
  const assume = ({ client: other = client, name, helo }: Assumed) => {
    const known: Named | null = name === undefined ? null : { kind: 'confirmed', name }
    const setting = settled(ground, other, known, (named) => ({
      ...plainSetting(ground, { client: other, uid: undefined, named }),
      // it has waited for its greeting already
      greetingDelay: 0,
      grants: {
        ...grantsOf(ground.matches, other, nameOf(named)),
        xforward: ground.matches.xforward(client, null) === 'yes',
      },
      assume,
      ...(helo !== undefined && { clientHelo: helo }),
    }))
    const allowed = setting.naming !== null || whyBarred(ground, other, nameOf(known)) === null
    return { allowed, setting }
  }
  return assume
}

function plainSetting(ground: Ground, { client, uid, named }: Guest): Setting {
  const { slice, matches, hostname, qualifyDomain, starttls, auth, session } = ground
  const name = nameOf(named)
  const mayRelay = matches.relay(client, name) === 'yes'
  const access = rulesFor(ground.access, client, name)
  const isKnown = mayRelay || isWelcome(access) || matches.exempt(client, name) === 'yes'
  return {
    hostname,
    listener: slice.name,
    kind: slice.kind,
    session,
    client,
    uid,
    ...unknownClient,
    mayRelay,
    auth,
    starttls,
    greetingDelay: slice.greetingDelay,
    messageSizeLimit: slice.messageSizeLimit,
    recipientLimit: slice.recipientLimit,
    errorLimit: slice.errorLimit,
    tarpit: mayRelay ? UNHURRIED : slice.tarpit,
    bounds: slice.bounds,
    authenticate: slice.authenticate,
    trustedSealers: slice.trustedSealers,
    qualifyDomain: isSubmission(slice.kind) ? qualifyDomain : '',
    cutThrough: slice.cutThrough,
    holdLimit: slice.holdLimit,
    rules: ground.rules,
    removesArguments: slice.removesArguments,
    requireSignature: slice.requireSignature,
    screening: isKnown ? null : slice.screening,
    access,
    ...((access.some(({ maps }) => maps.length > 0) || slice.senderLogin?.kind === 'map') && {
      mapped: true,
    }),
    signs: ground.signs,
    filtered: slice.filters.length > 0,
    grants: grantsOf(matches, client, name),
    assume: null,
    named,
    naming: null,
  }
}

/** Our own make no one else wait. */
const UNHURRIED: Setting['tarpit'] = { after: 0, delay: 0 }

function grantsOf(matches: Matches, client: string, name: string | null): Grants {
  const may = (list: keyof Grants) => matches[list](client, name) === 'yes'
  return { vrfy: may('vrfy'), expn: may('expn'), etrn: may('etrn'), xforward: may('xforward') }
}

/** An IPv4 address as such, where the socket could have taken IPv6. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '')
}

/** @param hasContext there is a certificate that can be served. */
export function starttlsOf(mode: ListenerSlice['tls']['mode'], hasContext: boolean): Setting['starttls'] {
  // without a certificate a demand for TLS still stands: better no mail than plain text
  if (mode === 'required') return hasContext ? 'required' : 'broken'
  return mode === 'starttls' && hasContext ? 'offered' : 'none'
}
