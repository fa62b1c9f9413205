/** Who gets an lda. Whatever qmgr asks for, the accounts and the config decide. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Grounds, judgeLda } from '../../services/mcp/lda-policy.ts'
import type { ZoneSlice } from '../../shared/config/slices.ts'

const PASSWD = [
  'root:x:0:0:root:/root:/bin/sh',
  'daemon:x:1:1::/:/bin/false',
  'alice:x:1000:1000:Alice:/home/alice:/bin/sh',
  'bob:x:1001:100::/home/bob:/bin/sh',
  'toor:x:1002:0::/home/toor:/bin/sh',
  'nobody:x:65534:65534::/nonexistent:/bin/false',
  '',
].join('\n')
const MAILBOXES = ['# virtual users', 'carol:5000:5000:/srv/mail/carol', 'dave:::/srv/mail/dave', ''].join(
  '\n',
)
const FILES: Record<string, string> = { '/etc/passwd': PASSWD, '/etc/posthorn/users': MAILBOXES }

function zone(users: ZoneSlice['users']): ZoneSlice {
  return {
    name: 'example.org',
    cutThrough: 0,
    requireSignature: false,
    forged: 'tag',
    type: 'local',
    users,
    aliases: [],
    recipients: null,
    maildir: '~/Maildir',
    encryption: null,
    hosts: [],
    relay: null,
    routing: [],
    reply: null,
  }
}
const SYSTEM = zone({ kind: 'system', minimumUid: 1000 })
const VIRTUAL = zone({ kind: 'file', path: '/etc/posthorn/users' })

function grounds(zones: ZoneSlice[]): Grounds {
  return { caller: null, minimumUid: 1000, zones, userAgents: false, read: (path) => FILES[path] ?? '' }
}

function judge(uid: number, gid: number, zones: ZoneSlice[], caller: Grounds['caller'] = null, user = 'x') {
  return judgeLda({ kind: 'mailbox', uid, gid, user }, { ...grounds(zones), caller })
}

test('a system user of a zone of system users', () => {
  assert.deepEqual(judge(1000, 1000, [SYSTEM]), { kind: 'become', user: 'alice', uid: 1000, gid: 1000 })
})

test('the name is the account’s, whatever qmgr calls it', () => {
  assert.deepEqual(judge(1000, 1000, [SYSTEM], null, 'root'), {
    kind: 'become',
    user: 'alice',
    uid: 1000,
    gid: 1000,
  })
})

test('a user of a mailbox file, under a name that brings no groups', () => {
  assert.deepEqual(judge(5000, 5000, [VIRTUAL], null, 'root'), {
    kind: 'become',
    user: '#5000',
    uid: 5000,
    gid: 5000,
  })
})

for (const [what, uid, gid, zones] of [
  ['root', 0, 0, [SYSTEM, VIRTUAL]],
  ['root’s group', 1000, 0, [SYSTEM, VIRTUAL]],
  ['a system account below the least uid', 1, 1, [SYSTEM, VIRTUAL]],
  ['another gid than the account has', 1001, 1001, [SYSTEM]],
  ['a uid that nobody has', 4242, 4242, [SYSTEM, VIRTUAL]],
  ['another gid than the file gives', 5000, 1000, [VIRTUAL]],
  ['a system user where no zone serves those', 1000, 1000, [VIRTUAL]],
  ['anybody where no zone is local', 1000, 1000, []],
  ['a negative uid', -1, -1, [SYSTEM, VIRTUAL]],
] as const) {
  test(`refused: ${what}`, () => {
    assert.equal(judge(uid, gid, [...zones]).kind, 'refused')
  })
}

test('as the caller: the caller alone, even root', () => {
  assert.deepEqual(judge(1000, 1000, [VIRTUAL], { uid: 1000, gid: 1000 }), { kind: 'stay' })
  assert.deepEqual(judge(0, 0, [VIRTUAL], { uid: 0, gid: 0 }), { kind: 'stay' })
  assert.equal(judge(1001, 100, [SYSTEM], { uid: 1000, gid: 1000 }).kind, 'refused')
})

function judgeAgent(uid: number, changes: Partial<Grounds> = {}) {
  return judgeLda({ kind: 'agent', uid }, { ...grounds([]), userAgents: true, ...changes })
}

test('for the agent of a user no zone has to name anybody: the account alone counts', () => {
  assert.deepEqual(judgeAgent(1001), { kind: 'become', user: 'bob', uid: 1001, gid: 100 })
})

for (const [what, uid, changes] of [
  ['where no listener has user-agents', 1000, { userAgents: false }],
  ['as the caller, where no listener has user-agents', 0, { userAgents: false, caller: { uid: 0, gid: 0 } }],
  ['of root', 0, {}],
  ['below the least uid', 1, {}],
  ['of root, whatever the least uid is', 0, { minimumUid: 0 }],
  ['of a uid without an account', 5000, { zones: [VIRTUAL] }],
  ['of nobody, which is everybody whose uid cannot be told', 65534, {}],
  ['of an account in the group of root', 1002, {}],
  ['of another user than the caller', 1001, { caller: { uid: 1000, gid: 1000 } }],
] as const satisfies readonly (readonly [string, number, Partial<Grounds>])[]) {
  test(`no lda for an agent ${what}`, () => {
    assert.equal(judgeAgent(uid, changes).kind, 'refused')
  })
}
