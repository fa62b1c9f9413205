/**
 * The option table, the part about servers of others: how gently they are treated, and what their replies mean for
 * the schedule. See `options.ts`.
 *
 * `schedule` is the retry schedule as `zone`, `server` and `retry-class` may change it: what they do not say holds
 * as `qmgr` says. The most particular one that speaks decides: class, then server, then zone.
 */
import { block, many, maybe, one, sectionName } from './blocks.ts'
import { outgoing } from './options-outgoing.ts'
import * as t from './types.ts'
import { bad, day, hour, minute, ok, second } from './units.ts'
import * as v from './values.ts'

/** What is for mail to a zone or to a server, or after a reply of a class. */
export const schedule = {
  retry: maybe(t.series(t.duration(100, 30 * day), 64), {
    doc: 'Waits before the second, third and further attempts; the last one repeats.',
    usual: 'as in `qmgr`',
    readers: ['qmgr'],
  }),
  lifetime: maybe(t.duration(second, 100 * day), {
    doc: 'A message that cannot be delivered for so long is returned.',
    usual: 'as in `qmgr`',
    readers: ['qmgr'],
  }),
  'bounce-lifetime': maybe(t.duration(second, 100 * day), {
    doc: 'The same for messages with an empty reverse-path, which are dropped.',
    usual: 'as in `qmgr`, or `lifetime` when that is shorter',
    readers: ['qmgr'],
  }),
  'delay-warning': maybe(t.duration(0, 100 * day), {
    doc: 'The sender is told of a delay after so long; 0: never.',
    usual: 'as in `qmgr`',
    readers: ['qmgr'],
  }),
} as const

/** The digits that `x` stands for, and a whole number of an enhanced code. */
const BASIC = /^[45][0-9x]{2}$/
const ENHANCED = /^[45]\.(\d{1,3}|[x*])\.(\d{1,3}|[x*])$/

/** `450`, `45x`, `4.7.1`, `4.7.x`; of what is refused for good, which is no more than a reason to suspend, `550` and so on. */
const replyCode: t.Type<string> = {
  syntax: '"CODE"',
  read: (args) =>
    args.parse('"CODE"', (given) => {
      const text = given.toLowerCase()
      if (BASIC.test(text) || ENHANCED.test(text)) return ok(text.replaceAll('*', 'x'))
      return /^2/.test(text)
        ? bad(`\`${given}\` is no refusal`, 'a code that begins with 4 or 5')
        : bad(`\`${given}\` is no reply code`, 'for example 450, 45x, 4.7.1 or 4.7.x')
    }),
  valid: (value) => typeof value === 'string' && (BASIC.test(value) || ENHANCED.test(value)),
  print: t.quote,
}

const LONGEST_TEXT = 200

const replyText: t.Type<string> = {
  syntax: '"TEXT"',
  read: (args) =>
    args.parse('"TEXT"', (text) => {
      if (text.length > LONGEST_TEXT)
        return bad('this text is too long', `at most ${LONGEST_TEXT} characters`)
      return /[^*\s]/.test(text)
        ? ok(text.toLowerCase())
        : bad('this text is in every reply', 'some words of the reply')
    }),
  valid: (value) => typeof value === 'string',
  print: t.quote,
}

export const serverBlock = block(
  'server',
  v.hostPattern,
  'How servers of others are treated. All domains whose mail such a server takes share its limits.',
  {
    'match-mx': many(t.series(v.hostPattern, 50), {
      doc: 'Host names or addresses of next hops, `*` for any text; the first section that names one decides.',
      usual: 'the name of the section',
      readers: ['qmgr'],
    }),
    'max-connections': maybe(t.count(1, 10_000), {
      doc: 'Connections at most, idle ones too.',
      usual: 'as in `qmgr`',
      readers: ['qmgr'],
    }),
    rate: maybe(t.rate, {
      doc: 'Deliveries in a time at most: `60/m`.',
      usual: 'no limit',
      readers: ['qmgr'],
    }),
    'recipients-per-transaction': maybe(t.count(1, 1000), {
      doc: 'Recipients that are sent together.',
      usual: 'as in `qmgr`',
      readers: ['qmgr'],
    }),
    'transactions-per-connection': maybe(t.count(1, 1_000_000), {
      doc: 'Messages over one connection at most.',
      usual: 'as in `smtpc`',
      readers: ['qmgr'],
    }),
    'connection-idle': maybe(t.duration(0, 10 * minute), {
      doc: 'A connection without work is kept so long for the next message.',
      usual: 'as in `smtpc`',
      readers: ['qmgr'],
    }),
    ...outgoing(null, 'as in `zone`'),
    ...schedule,
  },
)

export const retryClassBlock = block(
  'retry-class',
  sectionName,
  'What follows temporary replies of a kind. All that is given must be so; the first section that fits decides.',
  {
    codes: one(t.braced(replyCode, 50), [], {
      doc: 'One of these codes, basic or enhanced; `x` stands for a digit, or a number between dots. After one that begins with 5 there is `suspend`, and the message comes back, unless `routing` names another way for it.',
      usual: 'any',
      readers: ['qmgr'],
    }),
    text: many(t.series(replyText, 20), {
      doc: 'One of these is in the text, in upper or lower case; `*` stands for any text.',
      usual: 'any',
      readers: ['qmgr'],
    }),
    'match-mx': many(t.series(v.hostPattern, 50), {
      doc: 'The mail was to go to one of these hosts.',
      usual: 'any',
      readers: ['qmgr'],
    }),
    zones: many(t.series(v.zoneName, 50), {
      doc: 'The recipient is in one of these zones.',
      usual: 'any',
      readers: ['qmgr'],
    }),
    ...schedule,
    hint: maybe(t.text, {
      doc: 'What `posthorn status` and the log say beside a suspension: what to do about it.',
      readers: ['qmgr'],
    }),
    suspend: maybe(t.duration(second, hour * 24), {
      doc: 'Nothing at all is sent for so long to the servers that share limits with the one that said so.',
      readers: ['qmgr'],
    }),
  },
)
