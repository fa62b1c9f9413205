/**
 * Zones: from their sections to the resolver's slice, with the rules of each type. A zone `.` that is local, a
 * relay without hosts and a mailbox file that is not there are problems.
 */
import type { Delivery } from './delivery-values.ts'
import { type Facts, staysCaller } from './facts.ts'
import { checkMap, checkTable } from './maps.ts'
import { zoneBlock } from './options.ts'
import type { Problems } from './problem.ts'
import { checkHosts, checkRelay, rulesFor } from './routing.ts'
import { checkNames, checkOnly } from './rules.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import type { TableSlice, ZoneSlice } from './slices.ts'
import type { Span } from './source.ts'

type Zone = Section<typeof zoneBlock>

export function buildZones(config: Config, facts: Facts, problems: Problems): ZoneSlice[] {
  checkNames(config.zone, 'zone', problems)
  if (!config.meant.has('zone')) problems.warn(config.at, 'there is no zone: all mail will be refused')
  checkGlobal(config, facts, problems)
  return config.zone.flatMap((zone) => buildZone(zone, config, facts, problems) ?? [])
}

function buildZone(zone: Zone, config: Config, facts: Facts, problems: Problems): ZoneSlice | null {
  const { type } = zone.values
  if (type === null) return null // said already: it must be set
  checkOnly(zone, zoneBlock, type, problems)
  switch (type) {
    case 'local':
      return buildLocal(zone, config, facts, problems)
    case 'relay':
      return buildRelay(zone, config, problems)
    case 'backup':
      return buildBackup(zone, config, problems)
    case 'remote':
      return { ...bare(zone), type, routing: rulesFor(zone, config, problems) }
    case 'error':
      return { ...bare(zone), type, reply: zone.values.reply }
    case 'discard':
      return { ...bare(zone), type }
  }
}

function bare({ name, values }: Zone) {
  const cutThrough = values['cut-through'] === 'yes' ? values['cut-through-deadline'] : 0
  const requireSignature = values['require-signature'] === 'yes'
  const { forged } = values
  return {
    name,
    cutThrough,
    requireSignature,
    forged,
    users: null,
    aliases: [],
    recipients: null,
    maildir: null,
    encryption: null,
    hosts: [],
    relay: null,
    routing: [],
    reply: null,
  }
}

function buildLocal(zone: Zone, config: Config, facts: Facts, problems: Problems): ZoneSlice {
  if (zone.name === '.') {
    problems.error(
      placeOf(zone, 'type'),
      'not every domain can be local',
      'zone "." is of type remote or relay',
    )
  }
  const { aliases, deliver, 'catch-all': catchAll } = zone.values
  const tables = [...aliases.flat(), ...config.options.values.aliases.flat()]
  checkAliases(aliases.flat(), placeOf(zone, 'aliases'), config, facts, problems)
  const users = usersOf(zone, config, facts, problems)
  const aliasUser = aliasUserOf(config, facts)
  const forward = zone.values.forward === null ? users?.kind === 'system' : zone.values.forward === 'yes'
  return {
    ...bare(zone),
    type: 'local',
    users,
    aliases: tables,
    ...(aliasUser && { aliasUser }),
    ...(forward && { forward }),
    ...(catchAll !== null && { catchAll }),
    ...deliveryOf(deliver),
  }
}

function checkAliases(
  tables: TableSlice[],
  at: Span,
  config: Config,
  facts: Facts,
  problems: Problems,
): void {
  for (const file of tables) {
    if (file.kind === 'map') checkMap(file.name, at, config, problems)
    else if (facts.readable(file.path) !== 'yes') problems.warn(at, `${file.path} cannot be read`)
  }
}

/** What `options` says for all local zones. */
function checkGlobal(config: Config, facts: Facts, problems: Problems): void {
  const { options } = config
  checkAliases(options.values.aliases.flat(), placeOf(options, 'aliases'), config, facts, problems)
  const name = options.values['alias-user']
  if (name === null || staysCaller(facts)) return
  const at = placeOf(options, 'alias-user')
  const account = facts.accounts.user(name)
  if (!account) problems.error(at, `there is no user \`${name}\``)
  else if (account.uid < options.values['minimum-uid'] || account.gid === 0)
    problems.error(
      at,
      `nothing is run as ${name}, uid ${account.uid}`,
      '`minimum-uid` in `options` says from which on',
    )
}

function aliasUserOf({ options }: Config, facts: Facts): ZoneSlice['aliasUser'] | null {
  const name = options.values['alias-user']
  if (name === null) return null
  if (staysCaller(facts))
    return { user: facts.accounts.nameOf(facts.uid) ?? name, uid: facts.uid, gid: facts.gid }
  const account = facts.accounts.user(name)
  return account && { user: name, uid: account.uid, gid: account.gid }
}

function deliveryOf(deliver: Delivery): Pick<ZoneSlice, 'maildir' | 'encryption'> & Partial<ZoneSlice> {
  if (deliver.kind === 'lmtp') {
    const { host, port } = deliver
    return { maildir: null, encryption: null, hosts: [{ host, port, protocol: 'lmtp', weight: null }] }
  }
  if (deliver.kind !== 'maildir') return { maildir: null, encryption: null, deliver }
  const { path, encryption, folders, quota } = deliver
  return { maildir: path, encryption, ...(folders && { folders }), ...(quota && { quota }) }
}

function usersOf(zone: Zone, config: Config, facts: Facts, problems: Problems): ZoneSlice['users'] {
  const { mailboxes } = zone.values
  const at = placeOf(zone, 'mailboxes')
  const minimumUid = config.options.values['minimum-uid']
  const except = zone.values['no-mail'].map((name) => name.toLowerCase())
  if (mailboxes.kind === 'system') return { kind: 'system', minimumUid, ...(except.length > 0 && { except }) }
  if (except.length > 0)
    problems.error(placeOf(zone, 'no-mail'), '`no-mail` is of use with `mailboxes system` only')
  checkTable(mailboxes, at, config, facts, problems)
  if (mailboxes.kind === 'file') return mailboxes
  const { name, as } = mailboxes
  if (staysCaller(facts)) return { kind: 'map', name, owner: null }
  const owner = as === null ? null : facts.accounts.user(as)
  if (as === null)
    problems.error(at, 'whose files are these mailboxes?', `write \`mailboxes map "${name}" as "USER";\``)
  else if (!owner) problems.error(at, `there is no user \`${as}\``)
  else if (owner.uid < minimumUid || owner.gid === 0)
    problems.error(
      at,
      `no mail is delivered as ${as}, uid ${owner.uid}`,
      '`minimum-uid` in `options` says from which on',
    )
  return { kind: 'map', name, owner: owner && { uid: owner.uid, gid: owner.gid } }
}

/** Who takes for others what those will refuse sends reports to whoever was named as the sender. */
function buildBackup(zone: Zone, config: Config, problems: Problems): ZoneSlice {
  const { recipients } = zone.values
  if (zone.name === '.') problems.error(placeOf(zone, 'type'), 'nobody is the backup of every domain')
  if (recipients !== null) checkMap(recipients, placeOf(zone, 'recipients'), config, problems)
  else if (!zone.meant.has('recipients'))
    problems.warn(zone.at, 'mail for unknown users is taken, and comes back', 'add `recipients map "NAME";`')
  return { ...bare(zone), type: 'backup', recipients, routing: rulesFor(zone, config, problems) }
}

function buildRelay(zone: Zone, config: Config, problems: Problems): ZoneSlice {
  const { hosts, recipients, relay } = zone.values
  if (recipients !== null) checkMap(recipients, placeOf(zone, 'recipients'), config, problems)
  if (relay !== null) checkRelay(relay, placeOf(zone, 'relay'), config, problems)
  if (relay !== null && zone.meant.has('hosts'))
    problems.error(placeOf(zone, 'relay'), 'a zone has `hosts` or a `relay`', 'take one of them out')
  if (hosts.length === 0 && relay === null && !zone.meant.has('hosts')) {
    problems.error(zone.at, `zone \`${zone.name}\` has no \`hosts\``, 'add `hosts { "mail.example.org"; };`')
  }
  checkHosts(hosts, placeOf(zone, 'hosts'), problems)
  const routing = rulesFor(zone, config, problems)
  return { ...bare(zone), type: 'relay', hosts, recipients, relay, routing }
}
