/** Reports of others: unpacked within bounds, read without entities, summed once; and anything at all. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { readReport } from '../../commands/reports/reading.ts'
import { reportsIn } from '../../commands/reports/sources.ts'
import { Summary } from '../../commands/reports/summary.ts'
import { unpack } from '../../commands/reports/unpack.ts'

const directory = mkdtempSync(join(tmpdir(), 'posthorn-reports-'))
after(() => rmSync(directory, { recursive: true, force: true }))

const row = (source: string, count: string, dkim: string, spf: string, disposition = 'none') =>
  `<record><row><source_ip>${source}</source_ip><count>${count}</count><policy_evaluated><disposition>${disposition}</disposition><dkim>${dkim}</dkim><spf>${spf}</spf></policy_evaluated></row><identifiers><header_from>example.org</header_from></identifiers><auth_results><spf><domain>x</domain><result>pass</result></spf></auth_results></record>`
const dmarc = (id: string, rows: string, head = '<?xml version="1.0"?><feedback>') =>
  `${head}<report_metadata><org_name>A &amp; B</org_name><report_id>${id}</report_id><date_range><begin>1728000000</begin><end>1728086399</end></date_range></report_metadata><policy_published><domain>Example.org</domain><p>none</p></policy_published>${rows}</feedback>`
const tls = JSON.stringify({
  'organization-name': 'Big',
  'date-range': { 'start-datetime': '2024-10-04T00:00:00Z', 'end-datetime': '2024-10-04T23:59:59Z' },
  'report-id': 't1',
  policies: [
    {
      policy: { 'policy-type': 'sts', 'policy-domain': 'example.org' },
      summary: { 'total-successful-session-count': 90, 'total-failure-session-count': 10 },
      'failure-details': [{ 'result-type': 'certificate-expired', 'failed-session-count': 10 }],
    },
  ],
})

test('DMARC, old and new, and TLS', () => {
  const summary = new Summary()
  const add = (text: string) => {
    const report = readReport(Buffer.from(text))
    assert.ok(report)
    summary.add(report)
  }
  add(dmarc('1', row('192.0.2.1', '3', 'pass', 'fail') + row('192.0.2.9', '5', 'fail', 'fail', 'reject')))
  add(dmarc('1', row('192.0.2.1', '3', 'pass', 'fail')))
  const spaced = '<?xml version="1.0"?>\n<x:feedback xmlns:x="urn:ietf:params:xml:ns:dmarc-2.0">'
  add(dmarc('2', row('192.0.2.1', ' 4 ', 'fail', 'PASS'), spaced).replace('</feedback>', '</x:feedback>'))
  add(tls)
  assert.deepEqual(summary.dmarc(), [
    {
      kind: 'dmarc',
      week: '2024-09-30',
      domain: 'example.org',
      source: '192.0.2.1',
      messages: 7,
      passed: 7,
      dkim: 3,
      spf: 4,
      stopped: 0,
    },
    {
      kind: 'dmarc',
      week: '2024-09-30',
      domain: 'example.org',
      source: '192.0.2.9',
      messages: 5,
      passed: 0,
      dkim: 0,
      spf: 0,
      stopped: 5,
    },
  ])
  assert.deepEqual(summary.tls(), [
    {
      kind: 'tls',
      week: '2024-09-30',
      domain: 'example.org',
      policy: 'sts',
      sessions: 100,
      failures: 10,
      reasons: ['certificate-expired'],
    },
  ])
  assert.equal(summary.reports, 3, 'the same report twice is one')
})

test('entities, nests and nonsense', () => {
  const bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><feedback>'
  assert.throws(() => readReport(Buffer.from(dmarc('1', '', bomb))), /DOCTYPE/)
  assert.equal(readReport(Buffer.from('<html/>')), null)
  assert.equal(readReport(Buffer.from('hello')), null)
  const odd = readReport(Buffer.from(dmarc('1', row('<b/>', '-5', 'x', '1e9'))))
  assert.deepEqual(
    odd?.rows.map((one) => one.kind === 'dmarc' && [one.source, one.messages, one.dkim]),
    [['', 0, false]],
  )
  const deep = Buffer.from(`<feedback>${'<a>'.repeat(100_000)}`)
  assert.throws(() => assert.ok(readReport(deep)))
  const proto = Buffer.from(dmarc('1', '<__proto__><record/></__proto__>'))
  assert.throws(() => readReport(proto), /reserved/)
})

test('gzip and zip, and bombs', () => {
  assert.equal(unpack(gzipSync('x'))[0]?.toString(), 'x')
  assert.throws(() => unpack(gzipSync(Buffer.alloc(80 << 20))), /larger than|Cannot create a Buffer/)
  const script =
    'import zipfile, sys, os\nz = zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED)\nz.writestr("d/", "")\nz.writestr("../../r.xml", sys.argv[2])\nz.writestr("s.xml", "stored", zipfile.ZIP_STORED)\nz.close()\nz = zipfile.ZipFile(sys.argv[1] + ".bomb", "w", zipfile.ZIP_DEFLATED)\nz.writestr("b", b"0" * (80 << 20))\nz.close()'
  const file = join(directory, 'a.zip')
  assert.equal(spawnSync('python3', ['-c', script, file, 'text']).status, 0)
  assert.deepEqual(unpack(readFileSync(file)).map(String), ['text', 'stored'])
  assert.throws(() => unpack(readFileSync(`${file}.bomb`)), /larger than|Cannot create a Buffer/)
  const good = readFileSync(file)
  fc.assert(
    fc.property(fc.nat(good.length), fc.nat(good.length - 1), fc.nat(255), (length, at, octet) => {
      const broken = Buffer.from(good)
      broken[at] = octet
      for (const data of [broken, good.subarray(0, length)]) {
        try {
          unpack(data)
        } catch (error) {
          assert.ok(error instanceof Error)
        }
      }
    }),
  )
})

test('a folder of all sorts', async () => {
  const folder = join(directory, 'all')
  mkdirSync(join(folder, 'sub'), { recursive: true })
  const attached = gzipSync(dmarc('m', row('192.0.2.7', '1', 'pass', 'pass'))).toString('base64')
  const message = `From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nhello\r\n--x\r\nContent-Type: application/octet-stream; name=r.gz\r\nContent-Disposition: attachment; filename=r.gz\r\nContent-Transfer-Encoding: base64\r\n\r\n${attached}\r\n--x--\r\n`
  writeFileSync(join(folder, '1'), message)
  writeFileSync(join(folder, '2.json'), tls)
  writeFileSync(join(folder, '3.json'), '{')
  writeFileSync(join(folder, '4'), 'Subject: no report\r\n\r\nx\r\n')
  symlinkSync('/dev/zero', join(folder, '5'))
  const told: string[] = []
  const found: string[] = []
  for await (const { id } of reportsIn([folder], (file) => void told.push(file))) found.push(id)
  assert.deepEqual(found, ['dmarc A & B m example.org 1728000000000', 'tls Big t1 1728000000000'])
  assert.deepEqual(told, [join(folder, '3.json')])
})
