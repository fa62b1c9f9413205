/**
 * The option table, sixth part: what strangers are asked about before they are believed. See `options.ts`.
 */
import { accessRule } from './access-values.ts'
import { block, many, maybe, one, sectionName } from './blocks.ts'
import { allOf, matchList } from './match-list.ts'
import { replyRange } from './screening-values.ts'
import * as t from './types.ts'
import { day, minute, second } from './units.ts'

const HIGHEST_SCORE = 1000
const scoreOf = (doc: string) => one(t.count(0, HIGHEST_SCORE), 0, { doc, readers: ['resolver'] })

const dnsList = (what: string) => ({
  score: one(t.count(1, HIGHEST_SCORE), 1, { doc: what, readers: ['resolver'] }),
  reply: many(t.series(replyRange, 100), {
    doc: 'The answers that mean it is listed; lists say different things by different addresses.',
    usual: 'all but 127.255.0.0/16, by which lists tell those who ask of a fault',
    readers: ['resolver'],
  }),
})

export const dnsblBlock = block(
  'dnsbl',
  t.fullDomain,
  'A list in DNS of addresses that send what nobody wants (RFC 5782); used by `screening`.',
  dnsList('What is added to the score of a client that is listed.'),
)

export const dnswlBlock = block(
  'dnswl',
  t.fullDomain,
  'A list in DNS of addresses that are known for good; used by `screening`.',
  dnsList('What is taken from the score of a client that is listed.'),
)

const limit = (doc: string) =>
  maybe(t.count(1, HIGHEST_SCORE), { doc, usual: 'never', readers: ['mcp', 'smtpd'] })

export const screeningBlock = block(
  'screening',
  sectionName,
  'How a listener looks at clients: bad signs add to a score, good ones take away. Who may relay, or has logged in, is not looked at; `postmaster` takes mail from everyone.',
  {
    when: one(t.oneOf('connect', 'recipient'), 'recipient', {
      doc: '`connect`: before the greeting, while `greeting-delay` runs as well; `recipient`: at the first RCPT, so that the log says for whom the mail was. What is said in EHLO counts from RCPT on in either case.',
      readers: ['mcp', 'smtpd'],
    }),
    exempt: one(matchList, allOf('localhost'), {
      doc: 'Clients that are not looked at.',
      readers: ['mcp', 'smtpd'],
    }),
    lists: many(t.series(t.fullDomain, 50), {
      doc: 'The `dnsbl` and `dnswl` sections that are asked.',
      usual: 'all there are',
      readers: ['resolver'],
    }),
    timeout: one(t.duration(100, minute), 5 * second, {
      doc: 'What DNS does not say in this time counts nothing.',
      readers: ['resolver'],
    }),
    'no-reverse-name': scoreOf("Score where the client's address has no name in DNS."),
    'unconfirmed-reverse-name': scoreOf(
      'Score where it has names and none of them leads back to the address (forward-confirmed reverse DNS).',
    ),
    'helo-invalid': scoreOf(
      'Score where EHLO or HELO gives neither a full domain name nor an address in brackets (RFC 5321 section 4.1.3).',
    ),
    'helo-own-name': scoreOf('Score where it gives our own name, or a domain whose mailboxes are here.'),
    'helo-other-address': scoreOf("Score where it gives an address that is not the client's."),
    'helo-unknown': scoreOf('Score where it gives a name without A, AAAA or MX records.'),
    'helo-unconfirmed': scoreOf(
      "Score where it gives a name that does not lead to the client's address. Of what is said of EHLO only the greatest score counts.",
    ),
    'tag-score': limit(
      'From this score on mail gets the field `X-Posthorn-Score` with the score and what led to it.',
    ),
    'greylist-score': maybe(t.count(0, HIGHEST_SCORE), {
      doc: 'From this score on mail from unknown networks is put off with 450 4.7.1 until it comes again, by `greylist`; 0: everybody who is in no `dnswl`.',
      usual: 'never',
      readers: ['mcp', 'resolver', 'smtpd'],
    }),
    'defer-score': limit('From this score on recipients get 450 4.7.1; before the greeting it is 421.'),
    'reject-score': limit('From this score on recipients get 550 5.7.1; before the greeting it is 554.'),
  },
)

export const greylistBlock = block(
  'greylist',
  null,
  'Greylisting (RFC 6647), where a `screening` has a `greylist-score`: network (/24, or /64 of IPv6), sender and recipient that were never seen together have to come again.',
  {
    delay: one(t.duration(100, day), 5 * minute, {
      doc: 'How long a sender has to wait; who comes earlier is put off again.',
      readers: ['resolver'],
    }),
    'retry-within': one(t.duration(second, 30 * day), 2 * day, {
      doc: 'Who does not come again in this time is forgotten.',
      readers: ['resolver'],
    }),
    keep: one(t.duration(minute, 366 * day), 36 * day, {
      doc: 'How long who has come again is known, from its last mail on.',
      readers: ['resolver'],
    }),
    'known-after': one(t.count(0, 10_000), 5, {
      doc: 'After so many senders and recipients a network is known as a whole, and its mail is not put off any more; 0: never.',
      readers: ['resolver'],
    }),
    entries: one(t.count(100, 100_000_000), 1_000_000, {
      doc: 'What is remembered at most; who never came again goes first, then who was not seen for longest. An entry takes some 150 octets of disk.',
      readers: ['resolver'],
    }),
  },
)

export const accessBlock = block(
  'access',
  sectionName,
  'Rules of your own about clients and addresses, looked at for each recipient, before any `screening`. The first rule whose conditions all hold decides; `tag` only adds its mark, and those behind it are looked at as well. A rule on clients alone that rejects or defers, and stands before all others that concern the client, sends it away before the greeting. On a listener of type `local` the client is `local`.',
  {
    rule: many(accessRule, {
      doc: '`helo`: the name in EHLO; `sender`, `recipient`: whole addresses, or domains where there is no `@`; `*` stands for anything, upper and lower case are one. With `map` it holds for who is found there, and only from RCPT on. `accept`: it is welcome, whatever `screening` would say. `reject`: 550 5.7.1; `defer`: 450 4.7.1. `discard`: accepted, and never delivered. `hold`: the whole message waits in the queue until it is released. `tag`: a field `X-Posthorn-Tag`. `redirect`: it goes to that address instead.',
      readers: ['mcp', 'smtpd'],
    }),
  },
)
