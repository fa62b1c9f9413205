/**
 * Zones and what addresses of local zones stand for.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Directory, type End, expand, MOST_DEPTH, MOST_ENDS } from '../../services/resolver/expansion.ts'
import type { User } from '../../services/resolver/users.ts'
import { classOf, ZoneTable } from '../../services/resolver/zones.ts'
import { parseAliasFile } from '../../shared/config/alias-file.ts'
import type { ZoneSlice } from '../../shared/config/slices.ts'
import { formatAddress, parseMailbox } from '../../shared/smtp/address.ts'
import { plainZone } from '../support/zone.ts'

const zone = (name: string, type: ZoneSlice['type'] = 'local') => plainZone(name, type)

const zones = [
  zone('example.org'),
  zone('bücher.example'),
  zone('second.example'),
  zone('*.example.org', 'relay'),
  zone('*.deep.example.org', 'remote'),
  zone('.', 'remote'),
]

interface World {
  aliases?: string
  users?: string[]
  unreadable?: 'aliases' | 'users'
  delimiter?: string
  secondHasUsers?: boolean
}

function directory({ aliases = '', users = [], unreadable, delimiter = '+' }: World): Directory {
  const table = new ZoneTable(zones)
  const file = parseAliasFile(aliases).value
  const here = ({ name }: ZoneSlice) => name === 'example.org'
  const user = (name: string): User => ({ name, uid: 1, gid: 1, home: '/', maildir: null })
  return {
    zone: (domain) => table.find(domain),
    alias: (of, name) =>
      unreadable === 'aliases' ? 'unreadable' : here(of) ? (file.get(name) ?? null) : null,
    user: (of, name) =>
      unreadable === 'users' ? 'unreadable' : here(of) && users.includes(name) ? user(name) : null,
    primary: table.primary,
    delimiter,
  }
}

function shown(end: End): string {
  const address = formatAddress(end.address)
  if (end.kind === 'mailbox') return `${address} in ${end.user.name}`
  if (end.kind === 'elsewhere') return `${address} via ${end.zone.name}`
  if (end.kind === 'list') return `${address} list${end.owner ? ` of ${formatAddress(end.owner)}` : ''}`
  if (end.kind !== 'failed') return `${address} ${end.kind} via ${formatAddress(end.via)}`
  const { failure } = end
  return `${address} ${failure.kind}${'path' in failure ? ` ${failure.path.join(' ')}` : ''}`
}

function expansion(text: string, world: World, follow = true): string[] {
  const parsed = parseMailbox(text, { utf8: true })
  assert.ok(parsed.ok, text)
  return expand(parsed.address, directory(world), follow).map(shown)
}

test('a domain is matched by name, then by the longest suffix, then by the rest', () => {
  const table = new ZoneTable(zones)
  const found = (domain: string) => table.find(domain)?.name
  assert.equal(found('example.org'), 'example.org')
  assert.equal(found('xn--bcher-kva.example'), 'bücher.example')
  assert.equal(found('a.example.org'), '*.example.org')
  assert.equal(found('a.b.example.org'), '*.example.org')
  assert.equal(found('a.deep.example.org'), '*.deep.example.org')
  assert.equal(found('deep.example.org'), '*.example.org')
  assert.equal(found('myexample.org'), '.')
  assert.equal(found('[127.0.0.1]'), '.')
  assert.equal(new ZoneTable(zones.slice(0, 1)).find('example.net'), null)
  assert.equal(table.primary, 'example.org')
})

test('what the rest takes is remote, though it may go to a relay host', () => {
  assert.equal(classOf(zone('.', 'relay')), 'remote')
  assert.equal(classOf(zone('example.net', 'relay')), 'relay')
})

const cases: [title: string, address: string, world: World, ends: string[]][] = [
  ['a user', 'ann@example.org', { users: ['ann'] }, ['ann@example.org in ann']],
  ['case', 'Ann@example.org', { users: ['ann'] }, ['Ann@example.org in ann']],
  ['nobody', 'ghost@example.org', { users: ['ann'] }, ['ghost@example.org unknown']],
  ['a detail', 'ann+x@example.org', { users: ['ann'] }, ['ann+x@example.org in ann']],
  ['no delimiter', 'ann+x@example.org', { users: ['ann'], delimiter: '' }, ['ann+x@example.org unknown']],
  ['a user with a detail', 'a+x@example.org', { users: ['a', 'a+x'] }, ['a+x@example.org in a+x']],
  ['only a detail', '+x@example.org', { users: [''] }, ['+x@example.org unknown']],
  ['an alias', 'info@example.org', { users: ['ann'], aliases: 'Info: Ann' }, ['Ann@example.org in ann']],
  [
    'an alias before a user',
    'ann@example.org',
    { users: ['ann', 'bob'], aliases: 'ann: bob' },
    ['bob@example.org in bob'],
  ],
  [
    'an alias with a detail',
    'info+x@example.org',
    { users: ['ann'], aliases: 'info: ann' },
    ['ann@example.org in ann'],
  ],
  [
    'a user before an alias of its base',
    'a+x@example.org',
    { users: ['a+x', 'b'], aliases: 'a: b' },
    ['a+x@example.org in a+x'],
  ],
  [
    'a chain with doubles',
    'all@example.org',
    { users: ['ann', 'bob'], aliases: 'all: staff, ann, bob, ANN\nstaff: bob, ann' },
    ['bob@example.org in bob', 'ann@example.org in ann'],
  ],
  [
    'its own name',
    'ann@example.org',
    { users: ['ann'], aliases: 'ann: ann, b@x.example' },
    ['ann@example.org in ann', 'b@x.example via .'],
  ],
  [
    'its own name, whole',
    'ann@example.org',
    { users: ['ann'], aliases: 'ann: ann@example.org' },
    ['ann@example.org in ann'],
  ],
  [
    'a mailbox by backslash',
    'a@example.org',
    { users: ['b'], aliases: 'a: \\b\nb: c' },
    ['b@example.org in b'],
  ],
  [
    'elsewhere',
    'a@example.org',
    { aliases: 'a: b@x.example, c@h.example.org' },
    ['b@x.example via .', 'c@h.example.org via *.example.org'],
  ],
  [
    'one unknown among others',
    'a@example.org',
    { users: ['b'], aliases: 'a: b, ghost' },
    ['b@example.org in b', 'ghost@example.org unknown'],
  ],
  [
    'a loop',
    'a@example.org',
    { aliases: 'a: b\nb: c\nc: a' },
    ['a@example.org loop a@example.org b@example.org c@example.org a@example.org'],
  ],
  [
    'a loop beside a user',
    'a@example.org',
    { users: ['u'], aliases: 'a: u, b\nb: a' },
    ['a@example.org loop a@example.org b@example.org a@example.org'],
  ],
  [
    'its own name without a user',
    'a@example.org',
    { aliases: 'a: a' },
    ['a@example.org loop a@example.org a@example.org'],
  ],
  [
    'a diamond is no loop',
    'a@example.org',
    { users: ['u'], aliases: 'a: b, c\nb: d\nc: d\nd: u' },
    ['u@example.org in u'],
  ],
  ['a program', 'a@example.org', { users: ['u'], aliases: 'a: u, |prog' }, ['a@example.org unsupported']],
  [
    'a list by its owner',
    'a@example.org',
    { users: ['u'], aliases: 'a: u\nowner-a: u' },
    ['a@example.org list of owner-a@example.org'],
  ],
  [
    'a list by its file',
    'a@example.org',
    { users: ['u'], aliases: 'a: u, :include:/x' },
    ['a@example.org list'],
  ],
  [
    'a list within',
    'a@example.org',
    { users: ['u'], aliases: 'a: u, b\nb: :include:/x' },
    ['u@example.org in u', 'b@example.org list'],
  ],
  ['nowhere', 'a@example.org', { aliases: 'a: /dev/null' }, ['/dev/null@example.org file via a@example.org']],
  ['an owner', 'owner-a@example.org', { users: ['u'], aliases: 'owner-a: u' }, ['u@example.org in u']],
  [
    'a faulty target',
    'a@example.org',
    { users: ['u'], aliases: 'a: u, x@@y' },
    ['a@example.org faulty-alias'],
  ],
  [
    'unreadable aliases',
    'ann@example.org',
    { users: ['ann'], unreadable: 'aliases' },
    ['ann@example.org unreadable'],
  ],
  ['unreadable users', 'ann@example.org', { unreadable: 'users' }, ['ann@example.org unreadable']],
  [
    'bare postmaster',
    'Postmaster@example.org',
    { users: ['ann'], aliases: 'postmaster: ann' },
    ['ann@example.org in ann'],
  ],
  [
    'postmaster of another zone',
    'postmaster@second.example',
    { users: ['ann'], aliases: 'postmaster: ann' },
    ['ann@example.org in ann'],
  ],
  ['postmaster of nobody', 'postmaster@second.example', {}, ['postmaster@example.org unknown']],
]
for (const [title, address, world, ends] of cases) {
  test(`expansion: ${title}`, () => assert.deepEqual(expansion(address, world), ends))
}

test('postmaster without a domain is that of the first local zone', () => {
  const ends = expand({ local: 'PostMaster', domain: '' }, directory({ users: ['postmaster'] }), true)
  assert.deepEqual(ends.map(shown), ['PostMaster@example.org in postmaster'])
})

test('an address that an alias made is not expanded again', () => {
  const world = { users: ['ann', 'bob'], aliases: 'ann: ann, bob' }
  assert.deepEqual(expansion('ann@example.org', world), ['ann@example.org in ann', 'bob@example.org in bob'])
  assert.deepEqual(expansion('ann@example.org', world, false), ['ann@example.org in ann'])
})

test('a chain may be as deep as the limit and no deeper', () => {
  const chain = (depth: number) => {
    const lines = Array.from({ length: depth }, (_, n) => `a${n}: ${n === depth - 1 ? 'u' : `a${n + 1}`}`)
    return expansion('a0@example.org', { users: ['u'], aliases: lines.join('\n') })
  }
  assert.deepEqual(chain(MOST_DEPTH), ['u@example.org in u'])
  assert.match(chain(MOST_DEPTH + 1)[0] ?? '', /^a0@example.org too-deep /)
})

test('a list may be as long as the limit and no longer', () => {
  const list = (size: number) => {
    const members = Array.from({ length: size }, (_, n) => `${n}@x.e`)
    return expansion('a@example.org', { aliases: `a: ${members.join(',')}` })
  }
  assert.equal(list(MOST_ENDS - 1).length, MOST_ENDS - 1)
  assert.deepEqual(list(MOST_ENDS), ['a@example.org list'])
})

test('a catch-all takes what nobody else does, and one that leads nowhere is a loop, not endless', () => {
  const withRest = (to: string): Directory => ({
    ...directory({ users: ['ann'], aliases: 'info: ann' }),
    rest: (of) => {
      const parsed = parseMailbox(to, { unqualified: true })
      assert.ok(parsed.ok)
      return {
        name: `@${of.name}`,
        line: 0,
        targets: [{ kind: 'address', address: parsed.address, final: false }],
      }
    },
  })
  const found = (local: string, to: string) =>
    expand({ local, domain: 'example.org' }, withRest(to), true).map(shown)
  assert.deepEqual(found('whoever', 'ann'), ['ann@example.org in ann'])
  assert.deepEqual(found('info', 'far@x.example'), ['ann@example.org in ann'])
  assert.deepEqual(found('whoever+x', 'far@x.example'), ['far@x.example via .'])
  assert.match(found('whoever', 'ghost')[0] ?? '', / loop @example\.org@example\.org /)
})
