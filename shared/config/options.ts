/**
 * The option table, whole: every statement and option of posthorn.conf, its type, default, range, readers and meaning.
 *
 * The checker, `config/options.md`, `posthorn options`, the defaults (by way of convict, `schema.ts`) and the
 * types of the checked config all come from here. The rows are in `options-mail.ts`, `options-login.ts`, `options-policy.ts`,
 * `options-clients.ts`, `options-maps.ts`, `options-routing.ts`, `options-servers.ts`, `options-signing.ts`, `options-srs.ts`, `options-work.ts`,
 * `options-resolver.ts`, `options-load.ts`, `options-web.ts` and
 * `options-reports.ts`. To add an option: a row there, its
 * way into a slice in `slice.ts`, and `config/options.md` written anew.
 */
import * as clients from './options-clients.ts'
import * as filter from './options-filter.ts'
import * as load from './options-load.ts'
import * as login from './options-login.ts'
import * as mail from './options-mail.ts'
import * as maps from './options-maps.ts'
import * as policy from './options-policy.ts'
import * as reports from './options-reports.ts'
import * as resolver from './options-resolver.ts'
import * as routing from './options-routing.ts'
import * as servers from './options-servers.ts'
import * as signing from './options-signing.ts'
import * as srs from './options-srs.ts'
import * as web from './options-web.ts'
import * as work from './options-work.ts'
import type { BlockType } from './section.ts'

export * from './options-clients.ts'
export * from './options-filter.ts'
export * from './options-load.ts'
export * from './options-login.ts'
export * from './options-mail.ts'
export * from './options-maps.ts'
export * from './options-policy.ts'
export * from './options-reports.ts'
export * from './options-resolver.ts'
export * from './options-routing.ts'
export * from './options-servers.ts'
export * from './options-signing.ts'
export * from './options-srs.ts'
export * from './options-web.ts'
export * from './options-work.ts'

/** In the order of the manual. */
export const allBlocks: readonly BlockType[] = [
  mail.optionsBlock,
  login.tlsBlock,
  login.authBlock,
  filter.filterBlock,
  mail.listenerBlock,
  signing.dkimBlock,
  policy.policyBlock,
  clients.accessBlock,
  clients.screeningBlock,
  clients.dnsblBlock,
  clients.dnswlBlock,
  clients.greylistBlock,
  maps.mapBlock,
  routing.relayBlock,
  routing.routingBlock,
  mail.zoneBlock,
  servers.serverBlock,
  servers.retryClassBlock,
  work.qmgrBlock,
  load.throttleBlock,
  load.limitsBlock,
  work.ldaBlock,
  work.smtpcBlock,
  resolver.resolverBlock,
  srs.srsBlock,
  web.webBlock,
  reports.reportsBlock,
  work.processesBlock,
  work.loggingBlock,
  work.channelBlock,
  work.controlsBlock,
]
