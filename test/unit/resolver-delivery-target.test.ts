/** What `deliver` means for an address: placeholders, and names that would like to be more than names. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  detailOf,
  fillArgument,
  fillPath,
  folderOf,
  targetOf,
} from '../../services/resolver/delivery-target.ts'
import type { User } from '../../services/resolver/users.ts'
import type { ZoneSlice } from '../../shared/config/slices.ts'
import { anyCharacter } from '../support/any-character.ts'
import { plainZone } from '../support/zone.ts'

const ANN: User = { name: 'ann', uid: 1000, gid: 1000, home: '/home/ann', maildir: null }
const ZONE: ZoneSlice = {
  ...plainZone('example.org', 'local'),
  users: { kind: 'system', minimumUid: 1000 },
}
const address = (local: string) => ({ local, domain: 'example.org' })

test('a Maildir, with quota, folder and placeholders', () => {
  const zone = { ...ZONE, maildir: '~/Maildir', folders: true, quota: { octets: 9, messages: 0 } }
  assert.deepEqual(targetOf(zone, ANN, address('ann+lists.dev'), '+'), {
    format: 'maildir',
    path: '/home/ann/Maildir',
    folder: 'lists.dev',
    quota: { octets: 9, messages: 0 },
  })
  const shared = { ...ZONE, maildir: '/srv/%d/%u' }
  assert.deepEqual(targetOf(shared, ANN, address('ann'), '+'), {
    format: 'maildir',
    path: '/srv/example.org/ann',
  })
})

test('an mbox, a file, and a command of words', () => {
  const mbox = { ...ZONE, deliver: { kind: 'mbox', path: '/var/mail/%u' } } as const
  assert.deepEqual(targetOf(mbox, ANN, address('ann'), '+'), { format: 'mbox', path: '/var/mail/ann' })
  const file = { ...ZONE, deliver: { kind: 'file', path: '~/in' } } as const
  assert.deepEqual(targetOf(file, ANN, address('ann'), '+'), { format: 'file', path: '/home/ann/in' })
  const command = { words: ['/bin/x', '-m', '%e', '%h/y'], shell: false, fromLine: true }
  const piped = { ...ZONE, deliver: { kind: 'pipe', command } } as const
  assert.deepEqual(targetOf(piped, ANN, address('ann+-rf /'), '+'), {
    format: 'pipe',
    path: '',
    command: {
      ...command,
      words: ['/bin/x', '-m', '=2Drf=20=2F', '/home/ann/y'],
      name: 'ann',
      extension: '-rf /',
    },
  })
})

test('a Maildir of the line of the user is that of the user alone', () => {
  const mbox = { ...ZONE, deliver: { kind: 'mbox', path: '/var/mail/%u' } } as const
  const own = { ...ANN, maildir: '/srv/ann' }
  assert.deepEqual(targetOf(mbox, own, address('ann'), '+'), { format: 'maildir', path: '/srv/ann' })
})

test('the detail is what stands behind the delimiter, where the user was found without it', () => {
  assert.equal(detailOf(address('Ann+Lists+x'), ANN, '+'), 'Lists+x')
  assert.equal(detailOf(address('ann'), ANN, '+'), '')
  assert.equal(detailOf(address('ann+x'), { ...ANN, name: 'ann+x' }, '+'), '')
  assert.equal(detailOf(address('bob+x'), ANN, '+'), '')
})

test('folders of Maildir++ have no empty part, no slash and no control character', () => {
  assert.equal(folderOf('lists.dev'), 'lists.dev')
  for (const bad of ['', '.', '..', '.x', 'x.', 'a..b', 'a/b', '../x', 'a\0', 'a\n', 'x'.repeat(201)])
    assert.equal(folderOf(bad), null, JSON.stringify(bad))
})

test('hostile names', () => {
  assert.equal(fillPath('/var/mail/%u', { u: '../../etc/passwd' }), '/var/mail/=2E.=2F..=2Fetc=2Fpasswd')
  assert.equal(fillPath('/var/mail/%u', { u: '..' }), '/var/mail/=2E.')
  assert.equal(fillPath('/m/%u/in', { u: '|sh' }), '/m/=7Csh/in')
  assert.equal(fillPath('/m/%u', { u: 'a\0b' }), '/m/a=00b')
  assert.equal(fillPath('/m/%u', { u: 'a／b' }), '/m/a=EF=BC=8Fb')
  assert.equal(fillArgument('%u', { u: '-oQ/tmp' }), '=2DoQ=2Ftmp')
  assert.equal(fillArgument('-d%u', { u: 'ann' }), '-dann')
  assert.equal(fillArgument('%u', { u: 'a b;`id`' }), 'a=20b=3B=60id=60')
  assert.equal(fillPath('/m/%u', { u: '%d', d: 'x' }), '/m/=25d')
})

test('no name makes another part, climbs, or becomes that of somebody else', () => {
  const name = fc
    .string({ unit: anyCharacter, maxLength: 70 })
    .filter((text) => Buffer.from(text).toString() === text)
  fc.assert(
    fc.property(name, name, (one, other) => {
      const [first, second] = [one, other].map((u) => fillPath('/m/%u', { u }))
      assert.equal(first?.split('/').length, 3)
      assert.ok(!/\/\.|\0|\n/.test(first ?? ''))
      assert.equal(first === second, one === other)
      assert.ok(!fillArgument('%u', { u: one }).startsWith('-'))
    }),
  )
})
