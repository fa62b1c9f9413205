/**
 * The option table of accounts.conf: every statement, its type, default and meaning. The checker and
 * `config/accounts.md` come from it. Options of an account have no default here: `inherit` must be able to tell
 * what was written; `read.ts` fills in what is left.
 */
import { block, many, maybe, one, sectionName } from '../../shared/config/blocks.ts'
import { renderBlock } from '../../shared/config/manual.ts'
import type { BlockType } from '../../shared/config/section.ts'
import { section } from '../../shared/config/section.ts'
import { braced, duration, oneOf, presence, series, size } from '../../shared/config/types.ts'
import { day, G, hour, K, M, minute, second } from '../../shared/config/units.ts'
import { reference } from '../../shared/config/values.ts'
import { recipientElement } from './patterns.ts'
import * as v from './values.ts'

const readers = ['agent'] as const

export const accountBlock = block('account', sectionName, 'A provider, and how mail is given to it.', {
  from: many(series(v.addressPattern, 100), {
    doc: 'Senders that this account is for: of `-f`, else of the field From. `*` is any text.',
    readers,
  }),
  default: one(presence, false, { doc: 'For senders that no account is for.', readers }),
  inherit: maybe(reference, {
    doc: 'Options that are not set here are taken from this account, but for `from` and `default`.',
    readers,
  }),
  sender: maybe(v.mailAddress, {
    doc: 'The reverse-path where the caller gives none that has a domain.',
    usual: 'the address in From if `from` matches it, else the first of `from` without `*`',
    readers,
  }),
  host: maybe(v.hostPort, {
    doc: 'The provider. Certificates must be for this name.',
    usual: 'must be set, here or inherited; port 465 for `tls implicit`, else 587, 24 for LMTP',
    readers,
  }),
  protocol: maybe(oneOf('smtp', 'lmtp'), { doc: 'What the provider speaks.', usual: '`smtp`', readers }),
  tls: maybe(oneOf('implicit', 'starttls', 'none'), {
    doc: 'Certificates are always verified. `none` is for hosts of this machine only.',
    usual: '`implicit` on port 465, else `starttls`',
    readers,
  }),
  'tls-trust': maybe(v.homePath, {
    doc: 'Authorities to believe, in PEM.',
    usual: "Node's list",
    readers,
  }),
  'tls-fingerprint': maybe(series(v.fingerprint, 10), {
    doc: 'The certificate must be one of these, and is believed for that alone, whatever its name and issuer.',
    readers,
  }),
  'tls-certificate': maybe(v.homePath, { doc: 'A certificate of our own to show, in PEM.', readers }),
  'tls-key': maybe(v.homePath, { doc: 'Its key.', readers }),
  socks5: maybe(v.hostPort, {
    doc: 'Connect through this proxy; it looks up the name, too. Port 1080 where none is given.',
    readers,
  }),
  hello: maybe(v.plainText, { doc: 'The name in EHLO.', usual: '`localhost`', readers }),
  auth: maybe(v.authUse, {
    doc: `Who logs in. Mechanisms: ${v.mechanisms.map((one) => `\`${one}\``).join(', ')}; usually the best that is offered.`,
    readers,
  }),
  'password-command': maybe(v.commandLine, {
    doc: 'The first line that this prints is the password. Run by the shell for each session, within two minutes.',
    readers,
  }),
  'password-from': maybe(v.secretStore, {
    doc: 'The password is kept by libsecret (`secret-tool lookup`), pass, age, or in a netrc file.',
    readers,
  }),
  'token-command': maybe(v.commandLine, {
    doc: 'Prints an access token, for `oauthbearer` and `xoauth2`.',
    readers,
  }),
  confirm: maybe(v.confirm, {
    doc: "Ask before each message; `first`: once for a program and its recipients, within `grant`. The command gets the question on standard input; 0 is yes, 1 is no, 2 is yes to everybody in these domains, 3 is yes until it is revoked; with 0 and 3 it may print the patterns that its yes covers. Without a command the agent's terminal is asked; where there is no answer the message is held.",
    usual: '`never`',
    readers,
  }),
  'confirm-recipients': maybe(braced(recipientElement, 1000), {
    doc: 'Who is asked about, with `confirm`: the first pattern that fits a recipient decides, and with `!` that one is not; who fits none is not. `*` is any run of characters; `+detail` is looked at only where the pattern has it.',
    usual: '`{ any; }`',
    readers,
  }),
  grant: maybe(duration(minute, 366 * day), {
    doc: 'How long a yes holds with `confirm first`, unless it is for always. `posthorn agent grants` lists them.',
    usual: '`1d`',
    readers,
  }),
  outbox: maybe(oneOf('yes', 'no'), {
    doc: 'Keep mail while the provider or the network is away, and try again.',
    usual: '`no`',
    readers,
  }),
  timeout: maybe(duration(second, hour), {
    doc: 'For each answer of the provider; twice that after the final dot.',
    usual: '`1m`',
    readers,
  }),
})

export const agentBlock = block('agent', null, 'The process that owns the accounts.', {
  idle: one(duration(second, day), 10 * minute, {
    doc: 'An agent that was started on demand leaves after so long without work.',
    readers,
  }),
  'message-size-limit': one(size(64 * K, 4 * G), 50 * M, { doc: 'The largest message.', readers }),
  retry: one(series(duration(second, day), 30), [minute, 5 * minute, 15 * minute, hour], {
    doc: 'Waits between attempts from the outbox; the last one repeats.',
    readers,
  }),
  lifetime: one(duration(minute, 60 * day), 5 * day, {
    doc: 'After this mail in the outbox is tried no more; it stays there, marked as failed.',
    readers,
  }),
})

const about = { doc: '', readers } as const

export const accountsFile = {
  name: '',
  title: null,
  doc: '',
  homeOf: accountBlock.homeOf,
  options: {
    account: many(section(accountBlock), about),
    agent: maybe(section(agentBlock), about),
  },
} as const satisfies BlockType

export const accountsWords: ReadonlySet<string> = new Set(Object.keys(accountsFile.options))

const intro = `# accounts.conf: every option

Written from the option table in \`commands/accounts/options.ts\` by \`posthorn account options\`; do not edit.

The file is \`~/.config/posthorn/accounts.conf\`, in the language of posthorn.conf: see [options.md](options.md). It and
its directory may be writable by nobody else, because it names commands. PATH may begin with \`~/\`.
\`posthorn account check\` lists every mistake; \`posthorn account check NAME\` logs in and sends nothing.
`

export function renderAccountOptions(): string {
  return intro + [accountBlock, agentBlock].map((one) => renderBlock(one)).join('')
}
