/**
 * XWHY, ours and for the local socket (`shared/README.md`): which rules decide about this client and about an address,
 * each with `file:line:column`, and what would come of it; nothing is sent. Pure.
 *
 * What an alias stands for is told to who is trusted, to others how many: a list of people is not everybody's business.
 * The first line about an address is its fate, in the words of RCPTHDR.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import type { Host, Route, Target } from '../../shared/message/route.ts'
import { measurePath } from '../../shared/smtp/address.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { asks, rulesThatHold, rulingOn } from './access.ts'
import { fateLine } from './addressing.ts'
import { readAddress, whyDenied } from './mailbox.ts'
import { replies } from './replies.ts'
import type { Allowed } from './rights.ts'
import type { Hello, Moment, Phase, Setting, State, Step } from './state.ts'
import { move, say, stay } from './step.ts'
import { fateOf } from './transaction.ts'
import { accessLine, ruled, rulesOfRoutes } from './why-route.ts'

interface Scene {
  setting: Setting
  state: State
  now: Moment
}

const MOST_TARGETS = 20
const LONGEST_LINE = 900

export function why({ setting, state, now }: Scene, { hello }: { hello: Hello }, argument: string): Step {
  if (argument === '') return tell(state, aboutClient(setting, now))
  const [, keyword = '', rest = ''] = /^(FROM|AUTHOR|TO):(.*)$/i.exec(argument) ?? []
  const path = rest.slice(0, Math.max(measurePath(rest), 0))
  const sender = /^(?: FROM:(.*))?$/i.exec(rest.slice(path.length))
  const about = sender?.[1] ?? '<>'
  const isTo = keyword.toUpperCase() === 'TO'
  if (path === '' || !sender || (sender[1] !== undefined && !isTo) || measurePath(about) !== about.length)
    return stay(state, say(replies.whySyntax))
  const isSender = keyword.toUpperCase() === 'FROM'
  const address = readAddress(setting, path, true, isSender)
  if (typeof address !== 'string') return tell(state, [fate(path.slice(1, -1), address)])
  if (isTo) return aboutRecipient({ setting, state, now }, hello, address, about)
  return tell(state, isSender ? aboutSender(setting, address) : aboutAuthor(setting, address))
}

function tell(state: State, lines: readonly string[]): Step {
  const text = lines.map((line) => line.replace(/\s+/g, ' ').slice(0, LONGEST_LINE)).join('\n')
  return stay(state, say({ code: 250, enhanced: '2.0.0', text }))
}

function fate(address: string, reply: SmtpReply): string {
  return fateLine({ address, reply })
}

function aboutClient({ listener, uid, author, rights, rules }: Setting, { intake }: Moment): string[] {
  // a listener with more than one endpoint has more names
  const listening = rules.listeners[listener.replace(/#\d+$/, '')] ?? []
  const policy = rules.policies[rights.policy] ?? []
  const counted = policy.some(({ text }) => text.startsWith('limit '))
  const who = uid === undefined ? 'not known to the kernel, so a stranger' : `uid ${uid}`
  return [
    ...listening.map(ruled),
    `caller: ${who}${author ? `, <${author.address}>` : ''}`,
    ...(rights.policy === '' ? [withoutPolicy(rights)] : policy.map(ruled)),
    ...(counted ? [] : rules.uids.map(ruled)),
    ...(intake.state === 'refuse' || intake.state === 'down'
      ? [`no mail is taken now ${intake.reason}`]
      : []),
  ]
}

function withoutPolicy({ mail, trusted }: Setting['rights']): string {
  if (mail === 'later') return 'no policy: the caller cannot be looked up now'
  if (mail === 'no') return 'no policy fits: a uid without a login name may send nothing'
  return trusted ? 'no policy fits: root is trusted' : 'no policy fits: all senders are allowed'
}

function aboutSender(setting: Setting, address: string): string[] {
  const denied = whyDenied(setting, address)
  const { senders } = setting.rights
  return [
    fate(address, denied ?? replies.senderOk),
    byWhat(setting, 'senders', address === '' ? null : senders),
  ]
}

function aboutAuthor(setting: Setting, address: string): string[] {
  const { author, judge, rights } = setting
  const good = judge.mayWrite(address)
  const lines = [
    fate(address, good ? replies.ok : replies.authorDenied),
    byWhat(setting, rights.from ? 'from' : 'senders', rights.from ?? rights.senders),
  ]
  return author && good && !judge.owns(address) ? [...lines, `Sender will name <${author.address}>`] : lines
}

/** The option that decides, or the section that has none. */
function byWhat({ rights, rules }: Setting, option: string, allowed: Allowed | null): string {
  if (rights.mail === 'yes' && !rights.trusted && allowed)
    return `${option} of policy "${rights.policy}": ${allowed.place}`
  if (rights.policy === '') return withoutPolicy(rights)
  const said = rights.mail === 'no' ? 'deny' : rights.trusted ? 'trusted' : ''
  const rule = rules.policies[rights.policy]?.find(({ text }) => text === said)
  if (rule) return `${said} of policy "${rights.policy}": ${rule.place}`
  return `policy "${rights.policy}" allows any: ${rights.place}`
}

/** Access rules come first; what they refuse nobody is asked about. */
function aboutRecipient({ setting, state, now }: Scene, hello: Hello, address: string, path: string): Step {
  const read = readAddress(setting, path, true, true)
  const sender = typeof read === 'string' ? read : path.slice(1, -1)
  const ask = asks(setting, now)
  const rules = rulesThatHold(setting.access, hello, { sender, address }, ask)
  const found = rulingOn(setting.access, hello, { sender }, { address }, ask)
  if (found?.refusal) return tell(state, [fate(address, found.refusal), ...rules.map(accessLine)])
  const phase: Phase = { at: 'why', hello, address, rules }
  const asked = found?.ruling.redirect ?? address
  return move(state, phase, { kind: 'resolve', n: 0, address: asked, explain: true })
}

/** The resolver has answered. */
export function whyTo(
  { setting, state, now }: Scene,
  { hello, address, rules }: Extract<Phase, { at: 'why' }>,
  answer: Answer<'resolve'> | null,
): Step {
  const kinds = rules.map(({ action }) => action.kind)
  const mayRelay = setting.mayRelay || kinds.includes('redirect')
  const rights = { mayRelay, isFull: now.isFull, sender: '' }
  const { reply } = fateOf({ address, parameters: {} }, answer, rights)
  const gone = kinds.includes('discard')
  const lines = [...rules.map(accessLine), ...(gone ? ['it goes to nobody'] : visible(setting, answer))]
  const told = tell(state, [fate(address, gone ? replies.recipientOk : reply), ...lines])
  return move(told.state, { at: 'ready', hello }, ...told.effects)
}

function visible({ rights, rules }: Setting, answer: Answer<'resolve'> | null): string[] {
  if (answer === null) return []
  const decided = answer.why ?? []
  const open = rights.trusted ? decided : decided.filter(isOpen)
  if (answer.kind !== 'found') return open
  const { targets } = answer
  const aliased = decided.some((line) => line.startsWith('alias '))
  if (aliased && !rights.trusted) return [...open, `an alias of ${targets.length}`]
  const left = targets.length - MOST_TARGETS
  const shown = targets.slice(0, MOST_TARGETS)
  const more = left > 0 ? [`and ${left} more`] : []
  const routes = shown.flatMap(({ route }) => route ?? [])
  return [...decided, ...shown.map(routeLine), ...more, ...rulesOfRoutes(rules, routes)]
}

/** The zone of the address itself comes first of all; further ones, aliases and users tell of people. */
function isOpen(line: string, n: number): boolean {
  return n === 0 && line.startsWith('zone ')
}

function routeLine({ address, route }: Target): string {
  if (!route) return `<${address}>: its route is not known yet`
  if (route.kind === 'local') return `<${address}>: ${placeOf(route)} of ${route.mailbox.user}`
  if (route.kind === 'agent') return `<${address}>: to the agent of uid ${route.uid}`
  if (route.kind === 'discard') return `<${address}>: taken and dropped`
  const hosts = route.hosts.slice(0, 5).map((host) => `${host.name}:${host.port}${proof(host)}`)
  return `<${address}>: by ${route.protocol} to ${hosts.join(', ')}`
}

function placeOf({ mailbox, delivery }: Extract<Route, { kind: 'local' }>): string {
  if (delivery?.kind === 'file') return `into the file ${delivery.path}`
  if (delivery?.kind === 'pipe') return `to the command ${delivery.command}`
  if (mailbox.command) return `to the command ${mailbox.command.words.join(' ')}`
  return `into ${mailbox.path}`
}

/** What DNSSEC proves of a host (RFC 7672 section 2.2). */
function proof({ secure, tlsa }: Host): string {
  if (tlsa) return tlsa.kind === 'found' ? ' (TLSA)' : ' (its TLSA records cannot be had)'
  return secure ? ' (DNSSEC)' : ''
}
