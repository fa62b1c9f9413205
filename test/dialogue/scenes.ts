/**
 * How it is around a session: what `with NAME [WORDS]` of a dialogue file means. Listener options that do not fit into
 * a word, and what qmgr, the resolver and filters say; the same for the session in memory and the real one.
 *
 * An answer that throws is one that never comes. `milter` needs a socket: such a dialogue is for the port alone.
 */
import { type ReplyName as QmgrName, refusal as qmgrRefusal } from '../../services/qmgr/replies.ts'
import { type ReplyName, refusal, replies } from '../../services/resolver/replies.ts'
import type { Intake } from '../../services/smtpd/state.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import type { AccessAction } from '../../shared/config/client-slices.ts'
import type { PolicySlice } from '../../shared/config/policy-slice.ts'
import type { ListenerSlice, ScreeningSlice } from '../../shared/config/slices.ts'
import type { Route } from '../../shared/message/route.ts'
import { type MilterScript, milterPacket } from '../support/milter.ts'
import { tlsSection } from '../system/smtpd-certificate.ts'
import { type PlainAnswers, resolveByName } from '../system/smtpd-stage.ts'

export interface Scene {
  listener?: Partial<ListenerSlice>
  policies?: PolicySlice[]
  answers?: Partial<PlainAnswers>
  intake?: Intake
  /** Next hops that take no more recipients. */
  full?: readonly string[]
  milter?: { script: MilterScript | 'absent'; onFailure: 'tempfail' | 'reject' }
}

function lost(): never {
  throw new Error('nobody answers')
}

const everyone = [{ negated: false, network: 'any' }]

function accessRule(action: AccessAction, sender: string): Scene {
  const on = { client: everyone, helo: [], sender: sender === '' ? [] : [sender], recipient: [], maps: [] }
  return { listener: { access: [{ place: 'posthorn.conf:1:1', ...on, action }] } }
}

/** The recipients that the map has are refused; or it cannot be asked. */
function mapRule(kind: string): Scene {
  const on = {
    client: null,
    helo: [],
    sender: [],
    recipient: [],
    maps: [{ about: 'recipient', map: 'm' } as const],
  }
  const answers: Scene['answers'] = {
    'look-up': ({ questions }) => {
      if (kind === 'away') return lost()
      return {
        answers: questions.map(({ key }) =>
          key.startsWith('listed@') ? { kind: 'found', key, value: '' } : { kind: 'missing' },
        ),
      }
    },
  }
  const action = { kind: 'reject', text: null } as const
  return { listener: { access: [{ place: 'posthorn.conf:1:1', ...on, action }] }, answers }
}

function screening(change: Partial<ScreeningSlice>, answers: Partial<PlainAnswers>): Scene {
  const never = { tagScore: null, deferScore: null, rejectScore: null, greylistScore: null }
  const section: ScreeningSlice = {
    ...{ name: 's', when: 'recipient', exempt: [], helo: false },
    ...never,
    ...change,
  }
  return { listener: { screening: section }, answers }
}

const listed = { screen: () => ({ score: 5, signs: [{ name: 'list.example', score: 5 }] }) }

function caller(change: Partial<PolicySlice>, answers: Partial<PlainAnswers> = {}): Scene {
  const policy: PolicySlice = {
    ...{ name: 'staff', place: 'posthorn.conf:1:1', users: ['ann'], groups: [], senders: null, from: null },
    ...{ trusted: false, deny: false, messageSizeLimit: null, recipientLimit: null, account: null },
    ...change,
  }
  const endpoint = { kind: 'unix', path: '/submit.sock', mode: 0o600 } as const
  return { listener: { kind: 'local', endpoint, relay: everyone }, policies: [policy], answers }
}

function only(...patterns: string[]): { patterns: string[]; place: string } {
  return { patterns, place: 'posthorn.conf:2:3' }
}

/** The name of a reply where a local part stands. */
function named(address: string): string {
  return address.slice(0, address.indexOf('@'))
}

function ofResolver({ address }: { address: string }): Answer<'resolve'> {
  const name = named(address)
  return name in replies ? refusal(name as ReplyName) : resolveByName({ address })
}

const route: Route = { kind: 'smtp', zone: '.', destination: 'slow.example', protocol: 'smtp', hosts: [] }

function ofAuthor(): Answer<'look-up-text'> {
  return { kind: 'found', texts: ['v=DMARC1; p=reject'] }
}

function milter(answer: Buffer | 'absent', onFailure: 'tempfail' | 'reject'): Scene {
  return { milter: { script: answer === 'absent' ? answer : { answers: { R: answer } }, onFailure } }
}

const DISTANT = 4e12

export const scenes: Readonly<Record<string, (words: string) => Scene>> = {
  tls: (mode) => ({
    listener: {
      tls: {
        mode: mode === 'offered' ? 'starttls' : 'required',
        context: mode === 'broken' ? null : tlsSection({}),
        sni: [],
      },
    },
  }),
  'client-rule': (kind) => accessRule({ kind: kind === 'defer' ? kind : 'reject', text: null }, ''),
  'client-name': (words) => {
    const allow = [{ negated: true, name: '*.dyn.example' }, ...everyone]
    const named: Answer<'name-client'> = { kind: 'confirmed', name: 'pc7.dyn.example' }
    return { listener: { allow }, answers: { 'name-client': words === 'away' ? lost : () => named } }
  },
  'sender-rule': (kind) =>
    accessRule({ kind: kind === 'defer' ? kind : 'reject', text: null }, '*@unwanted.example'),
  'map-rule': (kind) => mapRule(kind),
  'bad-client': (words) => {
    const when = words.endsWith('greeting') ? 'connect' : 'recipient'
    return screening(words.startsWith('defer') ? { when, deferScore: 5 } : { when, rejectScore: 5 }, listed)
  },
  greylist: () => screening({ greylistScore: 0 }, { greylist: () => ({ wait: 300, known: false }) }),
  caller: (words) => {
    if (words === 'denied') return caller({ deny: true })
    if (words === 'unknown') return caller({}, { caller: lost })
    return caller({ senders: only('ann@example.org', 'role@example.org'), from: only('ann@example.org') })
  },
  resolver: (words) => ({ answers: { resolve: words === 'away' ? lost : ofResolver } }),
  qmgr: (words) => {
    if (words === 'away') return { answers: { 'session-open': lost } }
    if (words === 'lost') return { answers: { submit: lost, 'queue-act': lost } }
    if (words === 'refuses messages')
      return {
        answers: {
          submit: ({ envelope: { sender } }) => {
            return { kind: 'refused', reply: qmgrRefusal(named(sender) as QmgrName, 'messages', 'you') }
          },
        },
      }
    const [name = '', ...rest] = words.split(' ')
    return {
      answers: {
        'session-open': () => ({ kind: 'refused', reply: qmgrRefusal(name as QmgrName, ...rest) }),
      },
    }
  },
  brake: () => ({ answers: { submit: () => ({ kind: 'accepted', brake: DISTANT }) } }),
  short: (words) => ({ intake: { state: 'refuse', reason: words, storage: words === 'disk' } }),
  backlog: () => ({
    full: [route.destination],
    answers: {
      resolve: ({ address }) => ({
        ...{ kind: 'found', class: 'remote', zone: '.', targets: [{ address, route }] },
      }),
    },
  }),
  logins: (words) => ({
    answers: { 'login-try': words === 'braked' ? () => ({ kind: 'braked', until: DISTANT }) : lost },
  }),
  keys: (words) => ({
    answers: { 'look-up-text': words === 'away' ? lost : () => ({ kind: 'found', texts: [] }) },
  }),
  'forged-mail': () => ({
    listener: { authenticate: true },
    answers: {
      resolve: (question) => {
        const answer = resolveByName(question)
        return answer.kind === 'found' ? { ...answer, forged: 'reject' } : answer
      },
      'look-up-text': ofAuthor,
      'sender-policy': () => ({ result: 'fail' }),
    },
  }),
  delivered: () => ({
    answers: {
      submit: ({ envelope: { recipients } }) => ({
        kind: 'accepted',
        fates: recipients.map(({ address }) => ({
          address,
          outcome: { kind: 'sent', reply: { code: 250, enhanced: '2.0.0', text: 'delivered', host: '' } },
        })),
      }),
    },
  }),
  filter: (words) => {
    if (words === 'rejects') return milter(milterPacket('r'), 'tempfail')
    if (words === 'defers') return milter(milterPacket('t'), 'tempfail')
    return milter('absent', words === 'away, reject' ? 'reject' : 'tempfail')
  },
}
