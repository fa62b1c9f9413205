/** Names and groups behind a uid. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Callers } from '../../services/resolver/callers.ts'
import { openLogInto } from '../../shared/base/log.ts'

test('full names, groups, files that change and files that go', { timeout: 60_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'callers-'))
  const [passwd, group] = [join(folder, 'passwd'), join(folder, 'group')]
  let now = 0
  const callers = new Callers(
    { passwd, group },
    openLogInto(() => undefined, 'test', 'info'),
    () => now,
  )
  const find = (uid: number, gid = 9) => callers.find({ uid, gid })
  assert.deepEqual(find(5), { kind: 'unknown' }, 'no file')
  writeFileSync(
    passwd,
    'ann:x:5:50:& Bee,Room 1,,:/home/ann:/bin/sh\nbob:x:6:60::/:\nann2:x:5:1::/:\nodd:x:-1:0::/:\n:x:7:7::/:\n',
  )
  writeFileSync(group, 'annies:x:50:\nstaff:x:70:bob, ann,\nmail:x:9:ann\nbad:x:x:ann\n')
  now = 1000
  assert.deepEqual(find(5), {
    kind: 'known',
    name: 'ann',
    fullName: 'Ann Bee',
    groups: ['mail', 'annies', 'staff'],
  })
  assert.deepEqual(find(6, 1), { kind: 'known', name: 'bob', fullName: '', groups: ['staff'] })
  assert.deepEqual(find(7), { kind: 'unknown' })
  writeFileSync(passwd, 'cyd:x:7:7:Cyd:/:\n')
  now = 2000
  assert.equal(find(7).kind, 'known')
  assert.equal(find(5).kind, 'unknown')
  rmSync(folder, { recursive: true })
})
