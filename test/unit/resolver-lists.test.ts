/** Lists gone through member by member, and handed out in pages. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { commandOrFileIn } from '../../services/resolver/alias-target.ts'
import { type Directory, expand } from '../../services/resolver/expansion.ts'
import { linesOf } from '../../services/resolver/include-file.ts'
import { ListPages } from '../../services/resolver/list-pages.ts'
import { type ListSources, ListWalk } from '../../services/resolver/list-walk.ts'
import { silentLog } from '../../shared/base/log.ts'
import { parseAliasFile } from '../../shared/config/alias-file.ts'
import type { ZoneSlice } from '../../shared/config/slices.ts'
import type { Address } from '../../shared/smtp/address.ts'
import { plainZone } from '../support/zone.ts'

const here: ZoneSlice = {
  ...plainZone('example.org', 'local'),
  aliasUser: { user: 'daemon', uid: 1, gid: 1 },
}
const away = plainZone('.', 'remote')

interface World {
  aliases: string
  files?: Record<string, string>
  users?: string[]
}

function sourcesOf({ aliases, files = {}, users = ['ann', 'bob'] }: World) {
  const file = parseAliasFile(aliases).value
  const warned: Record<string, unknown>[] = []
  const directory: Directory = {
    zone: (domain) => (domain === 'example.org' ? here : away),
    alias: (_zone, name) => file.get(name) ?? null,
    user: (_zone, name) => (users.includes(name) ? { name, uid: 1, gid: 1, home: '/', maildir: null } : null),
    primary: 'example.org',
    delimiter: '+',
  }
  const sources: ListSources = {
    ends: (address, follow, path) => expand(address, directory, follow, path),
    lines: async function* (path) {
      const text = files[path]
      if (text === undefined) throw new Error(`no ${path}`)
      for (const [index, line] of text.split('\n').entries()) yield { line: index + 1, text: line }
    },
    log: { warn: (facts: object) => void warned.push({ ...facts }) } as ListSources['log'],
  }
  return { sources, warned, directory }
}

const at = (local: string): Address => ({ local, domain: 'example.org' })

async function membersOf(world: World, name = 'list'): Promise<string[]> {
  const found: string[] = []
  for await (const { address, sender } of new ListWalk(sourcesOf(world).sources).members(at(name)))
    found.push(sender === undefined ? address : `${address} from ${sender}`)
  return found
}

const cases: [title: string, world: World, members: string[]][] = [
  [
    'an included file, with comments and doubles',
    { aliases: 'list: ann, :include:/m', files: { '/m': 'Bob, x@y.example (home)\nann\n"a b"@y.example' } },
    ['ann@example.org', 'bob@example.org', 'x@y.example', '"a b"@y.example'],
  ],
  [
    'an owner',
    { aliases: 'list: ann, x@y.example\nowner-list: bob' },
    ['ann@example.org from owner-list@example.org', 'x@y.example from owner-list@example.org'],
  ],
  [
    'the innermost owner',
    { aliases: 'list: inner, ann\nowner-list: bob\ninner: x@y.example\nowner-inner: bob' },
    ['x@y.example from owner-inner@example.org', 'ann@example.org from owner-list@example.org'],
  ],
  [
    'a file that includes itself',
    { aliases: 'list: :include:/m', files: { '/m': 'ann\n:include:/m\nbob' } },
    ['ann@example.org', 'bob@example.org'],
  ],
  [
    'a list that leads back: the owner hears of it',
    { aliases: 'list: :include:/m', files: { '/m': 'ann, list' } },
    ['ann@example.org', 'list@example.org'],
  ],
  [
    'its own name in its file means the mailbox',
    { aliases: 'ann: \\ann, :include:/m', files: { '/m': 'ann, bob' } },
    ['ann@example.org', 'bob@example.org'],
  ],
  ['who is unknown', { aliases: 'list: ghost, :include:/m', files: { '/m': '' } }, ['ghost@example.org']],
  [
    'a command',
    { aliases: 'list: "|post list"\nowner-list: ann' },
    ['"|post list"@example.org from owner-list@example.org'],
  ],
]
for (const [title, world, members] of cases) {
  test(`members of a list: ${title}`, async () => {
    assert.deepEqual(await membersOf(world, world.aliases.startsWith('ann') ? 'ann' : 'list'), members)
  })
}

test('a loop is logged with its path', async () => {
  const { sources, warned } = sourcesOf({ aliases: 'list: :include:/m', files: { '/m': 'two' } })
  const looped = sourcesOf({ aliases: 'list: :include:/m\ntwo: list', files: { '/m': 'two' } })
  for await (const _member of new ListWalk(sources).members(at('list')));
  for await (const _member of new ListWalk(looped.sources).members(at('list')));
  assert.equal(warned[0]?.['kind'], 'unknown')
  assert.equal(looped.warned[0]?.['path'], 'list@example.org -> two@example.org -> list@example.org')
})

test('a command in a file of members is no command', async () => {
  const world = { aliases: 'list: :include:/m, |good', files: { '/m': '|bad' } }
  const { directory } = sourcesOf(world)
  assert.deepEqual(await membersOf(world), ['|bad@example.org', '|good@example.org'])
  const ends = expand(at('list'), directory, true)
  assert.equal(commandOrFileIn(ends, '|good@example.org')?.text, 'good')
  assert.equal(commandOrFileIn(ends, '|bad@example.org'), null)
})

test('a list of 50,000 comes in pages, and the event loop is never held for long', async () => {
  const count = 50_000
  const long = Array.from({ length: count / 2 }, (_none, n) => `m${n}@y.example`).join(', ')
  const more = Array.from({ length: count / 2 }, (_none, n) => `n${n}@y.example`).join('\n')
  const parsed = performance.now()
  const { sources } = sourcesOf({ aliases: `list: ${long}, :include:/m`, files: { '/m': more } })
  const reading = performance.now() - parsed
  const pages = new ListPages(sources, () => undefined, silentLog)
  let turns = 0
  let ended = false
  const count1 = () => {
    turns++
    if (!ended) setImmediate(count1)
  }
  setImmediate(count1)
  const found = new Set<string>()
  let after: string | null = null
  let asked = 0
  do {
    const page = await pages.page({ address: 'list@example.org', after })
    assert.equal(page.kind, 'found')
    if (page.kind !== 'found') return
    asked++
    for (const { address } of page.members) found.add(address)
    after = page.next
  } while (after !== null)
  ended = true
  assert.equal(found.size, count)
  assert.ok(asked >= count / 500, 'in pages')
  assert.ok(turns >= count / 200, `the event loop had ${turns} turns; reading the aliases took ${reading} ms`)
})

test('trouble is later: a file that is not there, a walk that nobody knows', async () => {
  const pages = new ListPages(
    sourcesOf({ aliases: 'list: ann, :include:/gone' }).sources,
    () => undefined,
    silentLog,
  )
  assert.equal((await pages.page({ address: 'list@example.org', after: null })).kind, 'later')
  assert.equal((await pages.page({ address: 'list@example.org', after: '77' })).kind, 'later')
})

const directory = mkdtempSync(join(tmpdir(), 'posthorn-lists-'))
after(() => rmSync(directory, { recursive: true }))

test('included files are read by lines, whatever the pieces', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: fc.constantFrom('a', 'ü', ' ', '#', ','), maxLength: 9 }), { maxLength: 9 }),
      async (lines) => {
        const path = join(directory, 'file')
        writeFileSync(path, lines.join('\n'))
        const read: string[] = []
        for await (const { line, text } of linesOf(path)) read.push(`${line} ${text}`)
        const expected = lines
          .map((text, index) => `${index + 1} ${text.trim()}`)
          .filter((_line, index) => !/^\s*(#|$)/.test(lines[index] ?? ''))
        assert.deepEqual(read, expected)
      },
    ),
    { numRuns: 50 },
  )
})

test('what is no file is refused', async () => {
  const read = async (path: string) => {
    for await (const _line of linesOf(path));
  }
  await assert.rejects(read(directory), /is not a file|EISDIR/)
  await assert.rejects(read('/dev/null'), /is not a file/)
  writeFileSync(join(directory, 'endless'), 'a'.repeat(70_000))
  await assert.rejects(read(join(directory, 'endless')), /a line/)
})
