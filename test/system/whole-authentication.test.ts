/**
 * Who mail is from, with the whole of Posthorn and a name server: SPF, DKIM and DMARC said on top of small and large
 * messages, forged words taken out, and what each zone makes of a failure.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DkimSigner } from '../../commands/sign/dkim-signer.ts'
import { readFields } from '../../shared/dkim/fields.ts'
import { sendMail } from '../support/client.ts'
import { dkimpy } from '../support/dkimpy.ts'
import { type NameServer, nodata, record, startNameServer } from '../support/name-server.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { signingKey } from '../support/signing-key.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const KEY_NAME = 'k1._domainkey.client.example'
const key = signingKey('ed25519')
const sealKey = signingKey('rsa')
let names: NameServer
let sink: Sink
let posthorn: Posthorn

const txt = (name: string, text: string) => ({ [`TXT ${name}`]: { answers: [record.txt(name, text)] } })

before(
  async () => {
    names = await startNameServer({
      ...txt(KEY_NAME, key.record),
      ...txt('client.example', 'v=spf1 ip4:192.0.2.1 -all exp=why.client.example'),
      ...txt('why.client.example', '%{i} is none of ours'),
      ...txt('_dmarc.example.org', 'v=DMARC1; p=reject; sp=none; np=reject'),
      'TXT exists.example.org': nodata('example.org'),
      ...txt('s._domainkey.lists.example', sealKey.record),
      ...txt('s._domainkey.other.example', sealKey.record),
      ...txt('good.example', 'v=spf1 ip4:127.0.0.0/8 -all'),
      ...txt('_dmarc.client.example', 'v=DMARC1; p=reject'),
      ...txt('_dmarc.good.example', 'v=DMARC1; p=quarantine'),
      'TXT slow.example': { rcode: 2 },
      'TXT _dmarc.slow.example': { answers: [record.txt('_dmarc.slow.example', 'v=DMARC1; p=reject')] },
    })
    sink = await openSink()
    const hosts = `hosts { "127.0.0.1" port ${sink.port}; };`
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          mx: 'authenticate yes; trusted-sealers { "lists.example"; };',
          more: `
zone "tag.example" { type relay; ${hosts} };
zone "hold.example" { type relay; forged quarantine; ${hosts} };
zone "strict.example" { type relay; forged reject; ${hosts} };
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

const header = (from: string) =>
  `Authentication-Results: mx.posthorn.example; dmarc=pass header.from=${from}\r\nFrom: Sam <sam@${from}>\r\nSubject: who\r\n`

function signed(from: string, body: string): string {
  const signer = new DkimSigner()
  signer.push(Buffer.from(body))
  const times = { signedAt: Math.floor(Date.now() / 1000), expires: null }
  const signers = [{ domain: 'client.example', selector: 'k1', key: key.key }]
  const plain = header(from)
  return `${signer.sign(readFields(plain), signers, times)}${plain}\r\n${body}`
}

const plain = (from: string, body = 'x\r\n') => `${header(from)}\r\n${body}`

function send(content: string, to = 'b@tag.example', from = 'sam@client.example') {
  return sendMail(posthorn.ports['mx'] ?? 0, { from, to: [to], content })
}

/** The one field in our name, unfolded, from the top of what the next host got. */
async function resultsOf(content: string, from?: string): Promise<string> {
  const before = sink.mails.length
  const reply = await send(content, 'b@tag.example', from)
  assert.equal(reply.code, 250, reply.text)
  const mail = (await sink.received(before + 1)).at(-1)
  const text = mail?.content.toString('latin1') ?? ''
  const fields = readFields(text.slice(0, text.indexOf('\r\n\r\n') + 2))
  const ours = fields.filter(
    ({ name, raw }) => name === 'authentication-results' && raw.includes('mx.posthorn'),
  )
  assert.equal(ours.length, 1, 'the forged one is gone')
  assert.equal(fields[0], ours[0], 'on top')
  assert.equal(fields[1]?.name, 'received')
  const body = content.slice(content.indexOf('\r\n\r\n'))
  assert.equal(mail?.octets, text.indexOf('\r\n\r\n') + body.length, 'the body is whole')
  return (ours[0]?.raw ?? '').replace(/\s+/g, ' ').trim()
}

for (const [what, body] of [
  ['small', 'some words\r\n'],
  ['large', 'some words\r\n'.repeat(30_000)],
] as const)
  test(`${what}: what is true is said on top`, { timeout }, async () => {
    const both = await resultsOf(signed('client.example', body))
    assert.match(both, /spf=fail smtp\.mailfrom=client\.example ?; dkim=pass ?header\.d=client\.example/)
    assert.match(both, /dmarc=pass \(p=reject\) header\.from=client\.example/)
    const changed = await resultsOf(signed('client.example', body).replace('some', 'more'))
    assert.match(changed, /dkim=fail .*dmarc=fail \(p=reject\)/)
    const good = await resultsOf(plain('good.example', body), 'sam@good.example')
    assert.match(good, /spf=pass smtp\.mailfrom=good\.example ?; dkim=none; dmarc=pass \(p=quarantine\)/)
  })

test('a null sender is asked about by HELO; DNS in trouble refuses nothing', { timeout }, async () => {
  assert.match(await resultsOf(plain('client.example'), ''), /spf=fail smtp\.helo=client\.example/)
  const unsure = await resultsOf(plain('slow.example'), 'sam@slow.example')
  assert.match(unsure, /spf=temperror .*dmarc=temperror/)
})

test('each zone: refused, held, or let through', { timeout }, async () => {
  const refused = await send(plain('client.example'), 'b@strict.example')
  assert.deepEqual([refused.code, refused.enhanced], [550, '5.7.1'])
  assert.match(refused.text, /client\.example explains: 127\.0\.0\.1 is none of ours$/)
  const before = sink.mails.length
  assert.equal((await send(plain('client.example'), 'b@hold.example')).code, 250)
  await until('it is held', async () => (await posthorn.queue()).some(({ state }) => state === 'held'))
  assert.equal((await send(signed('client.example', 'y\r\n'), 'b@strict.example')).code, 250)
  assert.equal((await sink.received(before + 1)).at(-1)?.to[0], 'b@strict.example')
})

test('names that do not exist have the policy that their organization has for them', {
  timeout,
}, async () => {
  const code = async (from: string) => (await send(plain(from), 'b@strict.example')).code
  assert.equal(await code('made-up.example.org'), 550)
  const before = sink.mails.length
  assert.equal(await code('exists.example.org'), 250)
  await sink.received(before + 1)
})

test('who is trusted to seal can vouch for mail that a list has changed', { timeout }, async (t) => {
  const peer = dkimpy()
  if (!peer) return t.skip('no dkimpy here')
  const message = 'From: Ann <ann@example.org>\r\nSubject: [list] sealed\r\nTo: l@lists.example\r\n\r\n'
  for (const body of ['small\r\n', 'large enough\r\n'.repeat(30_000)]) {
    const [sealed = ''] = peer.seal(message + body, ['lists.example'], sealKey.pem)
    const before = sink.mails.length
    const reply = await send(sealed, 'b@strict.example')
    assert.equal(reply.code, 250, reply.text)
    const text = (await sink.received(before + 1)).at(-1)?.content.toString('latin1') ?? ''
    assert.match(text, /^\tarc=pass \(i=1 lists\.example, trusted\); *\r\n\tdmarc=fail \(p=reject\)/m)
    assert.equal((await send(sealed.replace('[list]', '[spam]'), 'b@strict.example')).code, 550)
    const [other = ''] = peer.seal(message + body, ['other.example'], sealKey.pem)
    assert.equal((await send(other, 'b@strict.example')).code, 550, 'sealed by somebody')
  }
})
