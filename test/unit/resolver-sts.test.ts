/** MTA-STS: records and policies as they are written, and when which policy holds. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Answer } from '../../services/resolver/dns/answer.ts'
import { StsPolicies } from '../../services/resolver/sts/policies.ts'
import { readPolicy, readRecord } from '../../services/resolver/sts/policy.ts'
import { StsStore } from '../../services/resolver/sts/store.ts'
import type { Log } from '../../shared/base/log.ts'

const folder = mkdtempSync(join(tmpdir(), 'posthorn-sts-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const log = { info: () => undefined, warn: () => undefined, error: () => undefined } as unknown as Log
const DAY = 86_400_000

test('the record: exactly one, with an id', () => {
  assert.equal(readRecord(['v=STSv1; id=20160831085700Z;']), '20160831085700Z')
  assert.equal(readRecord(['v=spf1 -all', 'v=STSv1;id=a']), 'a')
  for (const texts of [
    [],
    ['v=STSv1; id=a', 'v=STSv1; id=b'],
    ['v=STSv1'],
    ['v=STSv2; id=a'],
    ['v=STSv1; id=a-b'],
    ['id=a; v=STSv1'],
  ])
    assert.equal(readRecord(texts), null, texts.join())
})

test('the policy', () => {
  const text =
    'version: STSv1\r\nmode: enforce\r\nmx: mx.A.example\r\nmx: *.b.example\r\nnew: x\r\nmax_age: 86400\r\n'
  const policy = { id: 'i', mode: 'enforce', mx: ['mx.a.example', '*.b.example'], maxAge: 86_400 }
  assert.deepEqual(readPolicy(text, 'i'), policy)
  assert.deepEqual(readPolicy(text.replaceAll('\r', ''), 'i'), policy)
  assert.equal(readPolicy(text.replace('86400', '9999999999'), 'i')?.maxAge, 31_557_600)
  assert.deepEqual(readPolicy('version: STSv1\nmode: none\nmax_age: 1', 'i')?.mode, 'none')
  for (const [from, to] of [
    ['STSv1', 'STSv2'],
    ['enforce', 'force'],
    [/mx: .*\r\n/g, ''],
    ['max_age', 'age'],
    ['86400', '-1'],
    ['*.b', 'b.*'],
  ] as const)
    assert.equal(readPolicy(text.replace(from, to), 'i'), null, String(from))
  assert.equal(readPolicy('<html>', 'i'), null)
})

interface Stage {
  policies: StsPolicies
  fetched: string[]
  world: { id: string | null; trouble: boolean; text: string | Error | Promise<string>; now: number }
}

function stage(directory = mkdtempSync(join(folder, 's-'))): Stage {
  const world: Stage['world'] = { id: 'a', trouble: false, text: policyOf('enforce'), now: 1_000_000_000_000 }
  const fetched: string[] = []
  const lookup = (name: string): Answer => {
    if (world.trouble) return { kind: 'failed', why: 'SERVFAIL', ttl: 0, trouble: 'said' }
    if (world.id === null) return { kind: 'nxdomain', ttl: 300, secure: false }
    const text = `v=STSv1; id=${world.id}`
    return {
      kind: 'records',
      ttl: 300,
      secure: false,
      records: [{ kind: 'txt', name, ttl: 300, text }] as never,
    }
  }
  const fetch = async (domain: string) => {
    fetched.push(domain)
    const text = await world.text
    if (text instanceof Error) throw text
    return text
  }
  const now = () => world.now
  const store = new StsStore(directory, world.now)
  return { policies: new StsPolicies({ dns: { lookup }, store, fetch, log, now }), fetched, world }
}

function policyOf(mode: string): string {
  return `version: STSv1\nmode: ${mode}\nmx: mx.d.example\nmax_age: 604800\n`
}

async function modeOf({ policies }: Stage): Promise<string | undefined> {
  return (await policies.of('d.example')).sts?.mode
}

test('it is fetched once for each id, and kept whatever becomes of DNS', async () => {
  const one = stage()
  assert.equal(await modeOf(one), 'enforce')
  assert.equal(await modeOf(one), 'enforce')
  assert.equal(one.fetched.length, 1)
  one.world.id = null
  assert.equal(await modeOf(one), 'enforce')
  one.world.trouble = true
  assert.equal(await modeOf(one), 'enforce')
  one.world.now += 8 * DAY
  assert.equal(await modeOf(one), undefined, 'it has expired')
  Object.assign(one.world, { trouble: false, id: 'b', text: policyOf('testing') })
  assert.equal(await modeOf(one), 'testing')
  Object.assign(one.world, { id: 'c', text: policyOf('none') })
  assert.equal(await modeOf(one), undefined)
  assert.equal(one.fetched.length, 3)
})

test('a fetch that fails leaves what there was, and is not tried again at once', async () => {
  const one = stage()
  one.world.text = new Error('refused')
  assert.equal(await modeOf(one), undefined)
  assert.equal(await modeOf(one), undefined)
  assert.equal(one.fetched.length, 1)
  one.world.now += 300_000
  one.world.text = 'nonsense'
  assert.equal(await modeOf(one), undefined)
  one.world.now += 300_000
  one.world.text = policyOf('enforce')
  assert.equal(await modeOf(one), 'enforce')
  Object.assign(one.world, { id: 'b', text: new Error('refused') })
  assert.equal(await modeOf(one), 'enforce', 'the old one holds')
  assert.equal(one.fetched.length, 4)
})

test('two at a time ask once', async () => {
  const one = stage()
  await Promise.all([modeOf(one), modeOf(one), modeOf(one)])
  assert.equal(one.fetched.length, 1)
})

test('one that is older than a day is fetched anew, before it expires', async () => {
  const one = stage()
  await modeOf(one)
  one.policies.refresh()
  assert.equal(one.fetched.length, 1)
  one.world.now += 2 * DAY
  one.policies.refresh()
  await modeOf(one)
  assert.equal(one.fetched.length, 2)
  one.world.now += 6 * DAY
  one.world.id = null
  assert.equal(await modeOf(one), 'enforce', 'of the second')
})

test('it outlives a restart; files that make no sense do not', async () => {
  const directory = mkdtempSync(join(folder, 's-'))
  const one = stage(directory)
  await modeOf(one)
  one.policies.close()
  writeFileSync(join(directory, 'odd.example.json'), '{"id": 3}')
  writeFileSync(join(directory, 'half.example.json'), '{"id')
  const other = stage(directory)
  other.world.trouble = true
  assert.equal(await modeOf(other), 'enforce')
  assert.equal(other.fetched.length, 0)
  assert.deepEqual(readdirSync(directory), ['d.example.json'])
})
