/**
 * `posthorn key`: makes the keys that `dkim` sections name, prints the records that publish them, says whether DNS has
 * them, and puts new ones in place of old ones. A server that runs takes them over by itself.
 *
 * As root keys become those of `submission-user`; otherwise they stay the caller's. DNS is asked of the resolver that
 * runs. Fails: `Trouble`; `check` leaves with 1 when something is not as it should be.
 */
import type { KeyObject } from 'node:crypto'
import { join, resolve } from 'node:path'
import { systemAccounts } from '../../shared/config/accounts.ts'
import { loadLeniently } from '../../shared/config/check.ts'
import type { DkimSlice, Slices } from '../../shared/config/slices.ts'
import { type KeptKey, type KeyAlgorithm, keyFile } from '../../shared/dkim/key-list.ts'
import { isRecordOf, keyRecord } from '../../shared/dkim/private-key.ts'
import { configFile, type Server, socketPath, withServer } from '../posthorn/server.ts'
import { type Exit, exits, Trouble } from '../posthorn/trouble.ts'
import type { Call } from '../posthorn/words.ts'
import { makeKey, type Owner, readKeyFile, readList, removeKey, writeList } from './key-files.ts'
import { newKey, rotate } from './rotation.ts'
import { zoneLine } from './zone-lines.ts'

type Print = (text: string) => void

/** A key that is there. */
interface Held {
  section: DkimSlice
  selector: string
  state: string
  path: string
  key: KeyObject | null
}

export async function key(call: Call, print: Print): Promise<Exit> {
  const { slices, sections } = read(call)
  switch (call.command) {
    case 'key generate':
      return generate(sections, ownerOf(slices, call), print)
    case 'key list':
      return list(sections, print)
    case 'key publish':
      return publish(sections, print)
    case 'key check':
      return withServer(socketPath(call, 'resolver'), 'resolver', (server) => check(sections, server, print))
    default:
      return withServer(socketPath(call, 'resolver'), 'resolver', (server) =>
        rotateAll(sections, { server, owner: ownerOf(slices, call), hurry: call.flags.has('now') }, print),
      )
  }
}

function read(call: Call): { slices: Slices; sections: DkimSlice[] } {
  const file = configFile(call)
  const { directory } = call.values
  const slices = loadLeniently(file, {
    usersMayBeMissing: true,
    ...(directory && { directory: resolve(directory) }),
  })
  if (!slices) throw new Trouble(exits.bad, `${file} cannot be read`)
  const all = slices.submission.dkim
  const [name] = call.operands
  const sections = name === undefined ? all : all.filter((one) => one.name === name)
  if (sections.length === 0)
    throw new Trouble(
      exits.usage,
      name === undefined ? `${file} has no dkim section` : `there is no dkim section ${name}`,
    )
  return { slices, sections }
}

function ownerOf({ mcp }: Slices, { flags }: Call): Owner {
  if (process.geteuid?.() !== 0 || flags.has('as-caller')) return null
  const name = mcp.users.submission
  const account = systemAccounts().user(name)
  if (!account) throw new Trouble(exits.bad, `there is no user ${name}: run posthorn setup-users`)
  return { uid: account.uid, gid: account.gid }
}

const algorithmsOf = ({ algorithm }: DkimSlice): KeyAlgorithm[] =>
  algorithm ? [algorithm] : ['rsa', 'ed25519']

async function generate(sections: readonly DkimSlice[], owner: Owner, print: Print): Promise<Exit> {
  for (const section of sections) {
    const { from, name } = section
    if (from.kind === 'directory') await fillDirectory(section, from.path, owner)
    else if (readKeyFile(from.path) === null) await makeKey(from.path, section.algorithm ?? 'rsa', owner)
    else if (sections.length === 1) throw new Trouble(exits.bad, `${name} has a key: ${from.path}`)
  }
  return publish(sections, print)
}

async function fillDirectory(section: DkimSlice, directory: string, owner: Owner): Promise<void> {
  let keys = readList(directory)
  for (const algorithm of algorithmsOf(section)) {
    if (keys.some((one) => one.algorithm === algorithm)) continue
    const made = newKey(keys, algorithm, 'active', Date.now())
    await makeKey(join(directory, keyFile(made.selector)), algorithm, owner)
    keys = [...keys, made]
    writeList(directory, keys)
  }
}

function heldBy(section: DkimSlice): Held[] {
  const { from } = section
  if (from.kind === 'file')
    return [
      { section, selector: from.selector, state: 'active', path: from.path, key: readKeyFile(from.path) },
    ]
  return readList(from.path).map(({ selector, state }) => {
    const path = join(from.path, keyFile(selector))
    return { section, selector, state, path, key: readKeyFile(path) }
  })
}

function list(sections: readonly DkimSlice[], print: Print): Exit {
  for (const { section, selector, state, path, key } of sections.flatMap(heldBy)) {
    const kind = key?.asymmetricKeyType ?? 'missing'
    print(`${section.name} ${selector} ${kind} ${state} ${path} ${section.domains.join(',')}\n`)
  }
  return exits.ok
}

function publish(sections: readonly DkimSlice[], print: Print): Exit {
  for (const { section, selector, key } of sections.flatMap(heldBy))
    if (key) for (const domain of section.domains) print(zoneLine(selector, domain, keyRecord(key)))
  return exits.ok
}

async function check(sections: readonly DkimSlice[], server: Server, print: Print): Promise<Exit> {
  let exit: Exit = exits.ok
  for (const { section, selector, key, path } of sections.flatMap(heldBy)) {
    if (!key) {
      print(`${path}: no key\n`)
      exit = exits.bad
      continue
    }
    for (const domain of section.domains) {
      const state = await published(server, selector, domain, key)
      print(`${selector}._domainkey.${domain}: ${state}\n`)
      if (state !== 'published') exit = exits.bad
    }
  }
  return exit
}

type Published = 'published' | 'not there' | 'another key' | 'DNS does not say'

async function published(
  server: Server,
  selector: string,
  domain: string,
  key: KeyObject,
): Promise<Published> {
  const answer = await server.ask('look-up-text', { name: `${selector}._domainkey.${domain}` })
  if (answer.kind === 'later') return 'DNS does not say'
  if (answer.texts.length === 0) return 'not there'
  return answer.texts.some((text) => isRecordOf(text, key)) ? 'published' : 'another key'
}

interface Tools {
  server: Server
  owner: Owner
  hurry: boolean
}

async function rotateAll(sections: readonly DkimSlice[], tools: Tools, print: Print): Promise<Exit> {
  const kept = sections.filter(({ from }) => from.kind === 'directory')
  if (kept.length === 0)
    throw new Trouble(
      exits.usage,
      'keys change where a dkim section has a `directory`; this one has a fixed key',
    )
  for (const section of kept) await rotateOne(section, section.from.path, tools, print)
  return exits.ok
}

async function rotateOne(
  section: DkimSlice,
  directory: string,
  { server, owner, hurry }: Tools,
  print: Print,
): Promise<void> {
  let keys = readList(directory)
  const inDns = await seenOf(heldBy(section), server)
  for (const algorithm of algorithmsOf(section)) {
    const turn = rotate(keys, algorithm, { now: Date.now(), hurry, seen: (selector) => inDns.has(selector) })
    if (turn.made) await makeKey(join(directory, keyFile(turn.made.selector)), algorithm, owner)
    keys = turn.keys
    writeList(directory, keys)
    for (const selector of turn.removed) removeKey(join(directory, keyFile(selector)))
    for (const line of turn.said) print(`${section.name} ${line}\n`)
    if (turn.made) printRecord(section, directory, turn.made, print)
  }
}

function printRecord({ domains }: DkimSlice, directory: string, { selector }: KeptKey, print: Print): void {
  const key = readKeyFile(join(directory, keyFile(selector)))
  if (key) for (const domain of domains) print(zoneLine(selector, domain, keyRecord(key)))
}

/** Selectors whose record is right for each domain. */
async function seenOf(held: readonly Held[], server: Server): Promise<Set<string>> {
  const seen = new Set<string>()
  for (const { section, selector, key, state } of held) {
    if (!key || state !== 'next') continue
    const states: Published[] = []
    for (const domain of section.domains) states.push(await published(server, selector, domain, key))
    if (states.length > 0 && states.every((one) => one === 'published')) seen.add(selector)
  }
  return seen
}
