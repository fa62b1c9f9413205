/**
 * DMARC reports through the whole of Posthorn: mail comes in, is counted, and a gzipped report goes to whom the domain
 * says, by our own queue; to others only when they agree.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { type NameServer, record, startNameServer } from '../support/name-server.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
let names: NameServer
let sink: Sink
let posthorn: Posthorn

const txt = (name: string, text: string) => ({ [`TXT ${name}`]: { answers: [record.txt(name, text)] } })

before(
  async () => {
    names = await startNameServer({
      ...txt('good.example', 'v=spf1 ip4:127.0.0.0/8 -all'),
      ...txt(
        '_dmarc.good.example',
        'v=DMARC1; p=reject; rua=mailto:d@relay.example!10m,mailto:no@deaf.example',
      ),
      ...txt('good.example._report._dmarc.relay.example', 'v=DMARC1;'),
      ...txt('_dmarc.silent.example', 'v=DMARC1; p=none; rua=mailto:d@deaf.example'),
      ...txt('_dmarc.mute.example', 'v=DMARC1; p=none'),
    })
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          relayPort: sink.port,
          mx: 'authenticate yes;',
          more: `
reports { send yes; from "dmarc@posthorn.example"; organization "Posthorn & Co"; };
resolver { nameservers { 127.0.0.1 port ${names.port}; }; timeout 3s; attempts 1; };`,
        }),
      users: ['anna'],
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    await sink.close()
    names.close()
  },
  { timeout },
)

interface Listed {
  domain: string
  messages: number
  to: string
}

async function listed(): Promise<Listed[]> {
  const { stdout } = await posthorn.command('reports', 'list', '--json')
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Listed)
}

const READ = `
import sys, json, email, gzip, xml.etree.ElementTree as tree
message = email.message_from_bytes(sys.stdin.buffer.read())
part = [one for one in message.walk() if one.get_content_type() == 'application/gzip'][0]
root = tree.fromstring(gzip.decompress(part.get_payload(decode=True)))
found = {one.tag.split('}')[-1]: one.text for one in root.iter()}
found['spf'] = root.find('.//{*}policy_evaluated/{*}spf').text
print(json.dumps([message['From'], message['To'], part.get_filename(), root.tag, found, len(root.findall('{*}record'))]))`

test('counted, listed, sent by the queue, and gone', { timeout }, async () => {
  const send = (domain: string) =>
    sendMail(posthorn.ports['mx'] ?? 0, {
      from: `sam@${domain}`,
      to: ['anna@local.example'],
      content: `From: sam@${domain}\r\nSubject: x\r\n\r\nx\r\n`,
    })
  for (const domain of ['good.example', 'good.example', 'silent.example', 'mute.example'])
    assert.equal((await send(domain)).code, 250)
  const known = await until('both to be counted', async () => {
    const rows = await listed()
    return rows.reduce((sum, { messages }) => sum + messages, 0) === 3 && rows
  })
  assert.deepEqual(
    known.map(({ domain, messages, to }) => [domain, messages, to]),
    [
      ['good.example', 2, 'd@relay.example, no@deaf.example'],
      ['silent.example', 1, 'd@deaf.example'],
    ],
  )
  const early = await posthorn.command('reports', 'send')
  assert.equal(early.stdout, 'sent: 0 reports, not sent: 0\n', 'the day is not over')
  const sent = await posthorn.command('reports', 'send', '--today')
  assert.equal(sent.stdout, 'sent: 1 report, not sent: 1\n', 'nobody at deaf.example has agreed')
  const [mail] = await sink.received(1)
  assert.ok(mail)
  assert.deepEqual([mail.from, mail.to], ['dmarc@posthorn.example', ['d@relay.example']])
  const read = spawnSync('python3', ['-c', READ], { input: mail.content, encoding: 'utf8' })
  assert.equal(read.status, 0, read.stderr)
  const [from, to, file, root, found, records] = JSON.parse(read.stdout)
  assert.deepEqual([from, to, records], ['<dmarc@posthorn.example>', '<d@relay.example>', 1])
  assert.match(file, /^mx\.posthorn\.example!good\.example!\d+!\d+\.xml\.gz$/)
  assert.equal(root, '{urn:ietf:params:xml:ns:dmarc-2.0}feedback')
  const { org_name, p, source_ip, count, disposition, spf, header_from, envelope_from, scope } = found
  assert.deepEqual(
    [org_name, p, source_ip, count, disposition, spf, header_from, envelope_from, scope],
    ['Posthorn & Co', 'reject', '127.0.0.1', '2', 'none', 'pass', 'good.example', 'good.example', 'mfrom'],
  )
  assert.deepEqual(await listed(), [])
  await posthorn.queueEmpty()
  // and what we have sent can be read by who gets it
  const maildir = join(posthorn.paths.directory, 'received')
  for (const folder of ['new', 'cur', 'tmp']) mkdirSync(join(maildir, folder), { recursive: true })
  writeFileSync(join(maildir, 'new', '1'), mail.content)
  writeFileSync(join(maildir, 'cur', '2:2,S'), mail.content)
  const { code, stdout } = await posthorn.command('reports', 'read', maildir)
  assert.equal(code, 0)
  const [, line = '', ...none] = stdout.trimEnd().split('\n')
  assert.match(line, /^good\.example +\d{4}-\d\d-\d\d +127\.0\.0\.1 +2 +100% +0% +100% +0$/)
  assert.deepEqual(none, [])
})
