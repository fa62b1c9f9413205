/**
 * SPF by the resolver process, asked over its bus and asking a name server in turn: each case of the openspf.org test
 * suite for RFC 7208 (`test/support/rfc7208`, with its licence).
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { silentLog } from '../../shared/base/log.ts'
import { type Link, openLink } from '../../shared/bus/link.ts'
import type { ResolverSlice } from '../../shared/config/slices.ts'
import { type NameServer, nodata, record, type Script, startNameServer } from '../support/name-server.ts'
import { BUILD, makeRig, type Rig, startWorker, type TestWorker } from '../support/worker.ts'

const timeout = 180_000

type Row = readonly [name: string, type: string, ...data: (string | number)[]]
type Case = readonly [
  name: string,
  client: string,
  helo: string,
  sender: string,
  results: string[],
  explanation?: string,
]

interface Section {
  section: string
  zone: Row[]
  cases: Case[]
}

const sections = JSON.parse(readFileSync('test/support/rfc7208/cases.json', 'utf8')) as Section[]

const TYPES = ['A', 'AAAA', 'MX', 'TXT', 'PTR'] as const
/** The suite's word for no explanation of the domain's own. */
const DEFAULT = 'DEFAULT'

function dataOf([name, type, ...data]: Row) {
  const [first = '', second = ''] = data
  const host = String(first)
  if (type === 'A') return record.a(name, host)
  if (type === 'AAAA') return record.aaaa(name, host)
  if (type === 'MX') return record.mx(name, Number(first), String(second))
  if (type === 'PTR') return record.ptr(name, host)
  if (type === 'CNAME') return record.cname(name, host)
  // a record has one string at least, empty or not (RFC 1035 section 3.3.14)
  const texts = data.length > 0 ? data : ['']
  return {
    name,
    type: 16,
    class: 1,
    ttl: 300,
    data: texts.map((text) => Buffer.from(String(text), 'latin1')),
  }
}

/** What a name server with these rows says: records, nothing of this type, or trouble. */
function scriptsOf(zone: readonly Row[]): Map<string, Script> {
  const scripts = new Map<string, Script>()
  for (const name of new Set(zone.map(([name]) => name))) {
    const rows = zone.filter(([other]) => other === name)
    for (const type of TYPES) {
      const wanted = rows.filter(([, kind]) => kind === type || kind === 'CNAME')
      const dead = rows.some(([, kind]) => kind === 'TIMEOUT')
      const empty: Script = dead ? { rcode: 2 } : nodata('example.com')
      const script = wanted.length > 0 ? { answers: wanted.map(dataOf) as Script['answers'] & object } : empty
      scripts.set(`${type} ${name.toLowerCase()}`, script)
    }
  }
  return scripts
}

let rig: Rig
let names: NameServer
let worker: TestWorker
let smtpd: Link

function makeSlice(): ResolverSlice {
  return {
    hostname: 'receiver.example.com',
    reports: null,
    zones: [],
    zonePlaces: {},
    relays: [],
    maps: [],
    screenings: [],
    greylist: null,
    srs: null,
    sts: null,
    nameservers: [names.address],
    dnsTimeout: 20_000,
    dnsAttempts: 1,
    cacheEntries: 1000,
    cacheOctets: 1 << 24,
    dnssec: 'servers',
    validatorPort: 5335,
    ownAddresses: [],
    smtpPort: 25,
    recipientDelimiter: '+',
    busUids: null,
    unprivileged: null,
  }
}

before(async () => {
  rig = makeRig()
  names = await startNameServer()
  worker = await startWorker('resolver', makeSlice(), rig)
  const identity = () => ({ role: 'smtpd' as const, name: 'smtpd', pid: process.pid, build: BUILD, epoch: 1 })
  smtpd = openLink({ target: rig.buses.resolver, remote: 'resolver', identity, log: silentLog, handlers: {} })
  await smtpd.ready()
})

after(async () => {
  smtpd.close()
  await worker.drain()
  names.close()
  rig.close()
})

test('the suite is there', () => {
  assert.equal(
    sections.reduce((sum, { cases }) => sum + cases.length, 0),
    203,
  )
})

let epoch = 1
for (const { section, zone, cases } of sections)
  test(section, { timeout }, async (t) => {
    names.scripts.clear()
    for (const [key, script] of scriptsOf(zone)) names.scripts.set(key, script)
    // nothing is remembered from the section before
    worker.send('reconfigure', { epoch: ++epoch, severity: 'info', slice: makeSlice() })
    for (const [name, client, helo, sender, results, explanation] of cases)
      await t.test(name, async () => {
        const answer = await smtpd.request('sender-policy', { client, helo, sender })
        assert.ok(results.includes(answer.result), `${answer.result}, not ${results.join(' or ')}`)
        if (explanation !== undefined) assert.equal(answer.explanation ?? DEFAULT, explanation)
      })
  })
