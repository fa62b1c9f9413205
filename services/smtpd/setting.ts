/**
 * What holds for a session, worked out from its listener and its client: limits as they are configured, rights by the
 * listener's address match lists. Pure.
 *
 * Who may speak for others (XCLIENT) gets a function that works it out anew for the client that is named; the right
 * to do that stays with who speaks, all other rights go by the other.
 */
import { type AddressMatcher, compileMatch } from '../../shared/config/address-match.ts'
import type { RuleBook } from '../../shared/config/rule-book.ts'
import { isSubmission, type ListenerSlice } from '../../shared/config/slices.ts'
import { type AccessRule, isWelcome, rulesFor, whyTurnedAway } from './access.ts'
import { unknownClient } from './identity.ts'
import type { Assumed, AuthSetting, Grants, Setting } from './state.ts'

const lists = ['allow', 'relay', 'proxy', 'xclient', 'xforward', 'vrfy', 'expn', 'etrn'] as const
export type Matches = Record<(typeof lists)[number] | 'exempt', AddressMatcher>

export function matchesOf(slice: ListenerSlice): Matches {
  const own = Object.fromEntries(lists.map((name) => [name, compileMatch(slice[name])]))
  return { ...own, exempt: compileMatch(slice.screening?.exempt ?? []) } as Matches
}

/** What does not come from the client. */
export interface Ground {
  slice: ListenerSlice
  matches: Matches
  access: readonly AccessRule[]
  rules: RuleBook
  hostname: string
  qualifyDomain: string
  starttls: Setting['starttls']
  auth: AuthSetting | null
  session: string
}

export function settingFor(ground: Ground, client: string, uid: number | undefined): Setting {
  const { matches } = ground
  const setting = plainSetting(ground, client, uid)
  if (!matches.xclient(client)) return setting
  const assume = ({
    client: other = client,
    name,
    helo,
  }: Assumed): { setting: Setting; allowed: boolean } => ({
    allowed: matches.allow(other) && whyTurnedAway(rulesFor(ground.access, other)) === null,
    setting: {
      ...plainSetting(ground, other, undefined),
      // it has waited for its greeting already
      greetingDelay: 0,
      grants: { ...grantsOf(matches, other), xforward: matches.xforward(client) },
      assume,
      ...(name !== undefined && { clientName: name }),
      ...(helo !== undefined && { clientHelo: helo }),
    },
  })
  return { ...setting, assume }
}

function plainSetting(ground: Ground, client: string, uid: number | undefined): Setting {
  const { slice, matches, hostname, qualifyDomain, starttls, auth, session } = ground
  const mayRelay = matches.relay(client)
  const access = rulesFor(ground.access, client)
  const isKnown = mayRelay || isWelcome(access) || matches.exempt(client)
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
    filtered: slice.filters.length > 0,
    grants: grantsOf(matches, client),
    assume: null,
  }
}

/** Our own make no one else wait. */
const UNHURRIED: Setting['tarpit'] = { after: 0, delay: 0 }

function grantsOf({ vrfy, expn, etrn, xforward }: Matches, client: string): Grants {
  return { vrfy: vrfy(client), expn: expn(client), etrn: etrn(client), xforward: xforward(client) }
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
