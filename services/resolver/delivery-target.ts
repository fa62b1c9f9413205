/**
 * What the `deliver` of a zone means for one address: placeholders of paths and arguments put in. Pure.
 *
 * A name from outside never becomes more than one part of a path or one argument: all that is not a letter, a digit or
 * one of `_+@,.-` is escaped as `=` and two hexadecimal digits for each octet, so are a dot at the beginning of a part
 * and a `-` at the beginning of an argument. So `../x` is `=2E.=2Fx`, and no two names become the same.
 *
 * Fails: never. A name that is longer than file systems take is what lda stumbles over. Next: `services/lda/README.md`.
 */
import { resolve } from 'node:path'
import type { ZoneSlice } from '../../shared/config/slices.ts'
import type { Mailbox } from '../../shared/message/route.ts'
import type { Address } from '../../shared/smtp/address.ts'
import { maildirOf, type User } from './users.ts'

type Target = Pick<Mailbox, 'format' | 'path' | 'encryption' | 'folder' | 'quota' | 'command'>
type Placeholders = Readonly<Record<string, string>>

/** No detail becomes the name of a folder that is longer. */
const LONGEST_FOLDER = 200

/** @param delimiter between user and detail; '' for none. */
export function targetOf(zone: ZoneSlice, user: User, address: Address, delimiter: string): Target {
  const detail = detailOf(address, user, delimiter)
  const values = { u: user.name, d: address.domain, e: detail, h: user.home }
  const { deliver } = zone
  if (deliver?.kind === 'pipe' && user.maildir === null) {
    const { words } = deliver.command
    const filled = deliver.command.shell ? words : words.map((word) => fillArgument(word, values))
    const command = { ...deliver.command, words: filled, name: user.name, extension: detail }
    return { format: 'pipe', path: '', command }
  }
  if ((deliver?.kind === 'mbox' || deliver?.kind === 'file') && user.maildir === null)
    return { format: deliver.kind, path: below(user.home, fillPath(deliver.path, values)) }
  return maildirTarget(zone, user, values)
}

function maildirTarget(zone: ZoneSlice, user: User, values: Placeholders): Target {
  const { maildir, encryption, folders, quota } = zone
  const folder = folders ? folderOf(values['e'] ?? '') : null
  return {
    format: 'maildir',
    path: maildirOf(user, maildir === null ? null : fillPath(maildir, values)),
    ...(encryption && { encryption }),
    ...(folder !== null && { folder }),
    ...(quota && { quota }),
  }
}

/** What stands behind the delimiter where the user was found without it. */
export function detailOf({ local }: Address, user: User, delimiter: string): string {
  const at = delimiter === '' ? -1 : local.indexOf(delimiter, 1)
  if (at < 0 || local.toLowerCase() === user.name.toLowerCase()) return ''
  return local.slice(0, at).toLowerCase() === user.name.toLowerCase()
    ? local.slice(at + delimiter.length)
    : ''
}

/**
 * Maildir++ puts all folders beside each other and a dot between the names of outer and inner ones. Null: no folder can
 * have that name.
 */
export function folderOf(detail: string): string | null {
  if (detail === '' || detail.length > LONGEST_FOLDER || /[/\p{Cc}]/u.test(detail)) return null
  return detail.split('.').includes('') ? null : detail
}

export function fillPath(template: string, values: Placeholders): string {
  const parts = template.split('/').map((part) => {
    const filled = part.replace(/%([udeh])/g, (_all, name: string) => escapeName(values[name] ?? ''))
    return part === filled ? part : filled.replace(/^\./, '=2E')
  })
  return parts.join('/')
}

/** The home is the administrator's word and stays as it is. */
export function fillArgument(template: string, values: Placeholders): string {
  const filled = template.replace(/%([udeh])/g, (_all, name: string) =>
    name === 'h' ? (values[name] ?? '') : escapeName(values[name] ?? ''),
  )
  return template.startsWith('-') ? filled : filled.replace(/^-/, '=2D')
}

/** `=` itself too, or an escaped name and one that looks like it would be the same. */
function escapeName(name: string): string {
  return [...name].map((one) => (/^[\p{L}\p{M}\p{N}_+@,.-]$/u.test(one) ? one : escapeOctets(one))).join('')
}

function escapeOctets(character: string): string {
  return [...Buffer.from(character)].map((octet) => `=${hex(octet)}`).join('')
}

function hex(octet: number): string {
  return octet.toString(16).toUpperCase().padStart(2, '0')
}

function below(home: string, path: string): string {
  return resolve(home, path.startsWith('~/') ? path.slice(2) : path)
}
