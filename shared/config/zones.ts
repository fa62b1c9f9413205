/**
 * Zones: from their sections to the resolver's slice, with the rules of each type. A zone `.` that is local, a
 * relay without hosts and a mailbox file that is not there are problems.
 */
import type { Facts } from './facts.ts'
import { zoneBlock } from './options.ts'
import type { Problems } from './problem.ts'
import { checkFile, checkNames, checkOnly } from './rules.ts'
import { type Config, placeOf, type Section } from './schema.ts'
import type { ZoneSlice } from './slices.ts'

type Zone = Section<typeof zoneBlock>

export function buildZones(config: Config, facts: Facts, problems: Problems): ZoneSlice[] {
  checkNames(config.zone, 'zone', problems)
  if (!config.meant.has('zone')) problems.warn(config.at, 'there is no zone: all mail will be refused')
  const minimumUid = config.options.values['minimum-uid']
  return config.zone.flatMap((zone) => buildZone(zone, minimumUid, facts, problems) ?? [])
}

function buildZone(zone: Zone, minimumUid: number, facts: Facts, problems: Problems): ZoneSlice | null {
  const { type } = zone.values
  if (type === null) return null // said already: it must be set
  checkOnly(zone, zoneBlock, type, problems)
  switch (type) {
    case 'local':
      return buildLocal(zone, minimumUid, facts, problems)
    case 'relay':
      return buildRelay(zone, problems)
    case 'remote':
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
    maildir: null,
    encryption: null,
    hosts: [],
  }
}

function buildLocal(zone: Zone, minimumUid: number, facts: Facts, problems: Problems): ZoneSlice {
  if (zone.name === '.') {
    problems.error(
      placeOf(zone, 'type'),
      'not every domain can be local',
      'zone "." is of type remote or relay',
    )
  }
  const { mailboxes, aliases, deliver } = zone.values
  const files = aliases.flat()
  if (mailboxes.kind === 'file') checkFile(mailboxes.path, placeOf(zone, 'mailboxes'), facts, problems)
  for (const file of files) {
    if (facts.readable(file) !== 'yes') problems.warn(placeOf(zone, 'aliases'), `${file} cannot be read`)
  }
  const users = mailboxes.kind === 'file' ? mailboxes : ({ kind: 'system', minimumUid } as const)
  return { ...bare(zone), type: 'local', users, aliases: files, ...deliver }
}

function buildRelay(zone: Zone, problems: Problems): ZoneSlice {
  const { hosts } = zone.values
  if (hosts.length === 0 && !zone.meant.has('hosts')) {
    problems.error(zone.at, `zone \`${zone.name}\` has no \`hosts\``, 'add `hosts { "mail.example.org"; };`')
  }
  if (new Set(hosts.map(({ protocol }) => protocol)).size > 1) {
    problems.error(placeOf(zone, 'hosts'), 'the hosts of one zone speak smtp or lmtp, not both')
  }
  return { ...bare(zone), type: 'relay', hosts }
}
