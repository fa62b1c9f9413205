/**
 * What a signature must be for `require-signature`: made by our signer, then broken in one way after another.
 */
import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { DkimSigner } from '../../commands/sign/dkim-signer.ts'
import { authorDomains } from '../../services/smtpd/signature/authors.ts'
import { LONGEST_HEADER } from '../../services/smtpd/signature/header-gatherer.ts'
import { judge, keysWanted, type Texts, verifySignatures } from '../../services/smtpd/signature/judge.ts'
import { readSignature } from '../../services/smtpd/signature/signature.ts'
import { MOST_SIGNATURES, SignatureWatch } from '../../services/smtpd/signature/watch.ts'
import { readFields } from '../../shared/dkim/fields.ts'
import { namesToSign, type Signer } from '../../shared/dkim/signature-field.ts'
import { signingKey } from '../support/signing-key.ts'

const NOW = 1_700_000_000
const rsa = signingKey('rsa')
const ed = signingKey('ed25519')
const other = signingKey('ed25519')
const HEADER =
  'From: Ann <ann@example.org>\r\nTo: b@example.net\r\nSubject: hello\r\n  there\r\nDate: now\r\n'
const BODY = 'Hello  \r\n\r\nWorld\r\n\r\n'

function signed(header: string, body: string, ...signers: Signer[]): string {
  const signer = new DkimSigner()
  signer.push(Buffer.from(body))
  const times = { signedAt: NOW - 10, expires: NOW + 1000 }
  return `${signer.sign(readFields(header), signers, times)}${header}\r\n${body}`
}

const by = (key: KeyObject, domain = 'example.org'): Signer => ({ domain, selector: 'k1', key })
const dns = (record: string, domain = 'example.org'): ReadonlyMap<string, Texts> =>
  new Map([[`k1._domainkey.${domain}`, { kind: 'found', texts: ['v=spf1 -all', record] }]])

/** The enhanced code of the refusal, or 'ok'. */
function fate(
  message: string,
  texts = dns(rsa.record),
  { sender = 'ann@example.org', now = NOW, cut = message.length } = {},
): string {
  const watch = new SignatureWatch(sender)
  const octets = Buffer.from(message, 'latin1')
  for (let at = 0; at < octets.length; at += cut) watch.push(octets, at, Math.min(octets.length, at + cut))
  return judge(watch.end(now), texts)?.enhanced ?? 'ok'
}

test('RSA and Ed25519, at any split', () => {
  const one = signed(HEADER, BODY, by(rsa.key))
  for (const cut of [1, 2, 3, 7, 64, one.length]) assert.equal(fate(one, undefined, { cut }), 'ok')
  assert.equal(fate(signed(HEADER, BODY, by(ed.key)), dns(ed.record)), 'ok')
  assert.equal(fate(signed(HEADER, '', by(ed.key)), dns(ed.record)), 'ok')
})

test('two signatures by two algorithms: one that verifies is enough', () => {
  const both = signed(HEADER, BODY, by(rsa.key), by(ed.key))
  assert.equal(fate(both, dns(rsa.record)), 'ok')
  assert.equal(fate(both, dns(ed.record)), 'ok')
  assert.equal(fate(both, dns(other.record)), '5.7.20')
})

test('white space in the body may change, nothing else', () => {
  const one = signed(HEADER, BODY, by(rsa.key))
  assert.equal(fate(one.replace('Hello  ', 'Hello')), 'ok')
  assert.equal(fate(one.replace('World', 'Worlds')), '5.7.20')
  assert.equal(fate(`${one}more\r\n`), '5.7.20')
  assert.equal(fate(one.replace('Subject: hello', 'Subject: hallo')), '5.7.20')
})

test('what readers see can neither be added nor taken away', () => {
  const one = signed(HEADER, BODY, by(rsa.key))
  for (const field of ['Subject: x', 'Reply-To: <x@evil.example>', 'Cc: x@evil.example', 'Date: then'])
    assert.match(fate(`${field}\r\n${one}`), /^5\.7\.2[01]$/, field)
  assert.equal(fate(one.replace('To: b@example.net\r\n', '')), '5.7.20')
  assert.match(fate(`Content-Type: text/html\r\n${one}`), /^5\.7\.2[01]$/, 'signed as absent')
  assert.equal(fate(`Sender: x@evil.example\r\n${one}`), '5.7.21', 'not signed, so nobody vouches for it')
  assert.equal(fate(`Received: from x\r\n${one}`), 'ok')
})

test('one From field, each of its domains signed for, and the domain of the reverse-path', () => {
  const one = signed(HEADER, BODY, by(rsa.key))
  assert.equal(fate(one, undefined, { sender: '' }), 'ok')
  assert.equal(fate(one, undefined, { sender: 'x@mail.example.org' }), 'ok', 'below the signer')
  assert.equal(fate(one, undefined, { sender: 'x@example.com' }), '5.7.22')
  assert.equal(fate(`From: x@example.org\r\n${one}`), '5.7.22', 'two From fields')
  assert.equal(fate(one.replace('From:', 'X-From:')), '5.7.22')
  const two = HEADER.replace('From: ', 'From: eve@example.com, ')
  assert.equal(fate(signed(two, BODY, by(rsa.key))), '5.7.22')
  const texts = new Map([...dns(rsa.record), ...dns(ed.record, 'example.com')])
  assert.equal(fate(signed(two, BODY, by(rsa.key), by(ed.key, 'example.com')), texts), 'ok')
  assert.equal(fate(signed(HEADER, BODY, by(rsa.key, 'ample.org'))), '5.7.22', 'not below, only alike')
})

test('no signature, expired, l=, too many', () => {
  assert.equal(fate(`${HEADER}\r\n${BODY}`), '5.7.22')
  const one = signed(HEADER, BODY, by(rsa.key))
  assert.equal(fate(one, undefined, { now: NOW + 1001 }), '5.7.21')
  assert.equal(fate(one.replace('v=1;', 'v=1; l=5;')), '5.7.21')
  const junk = one.slice(0, one.indexOf('From:')).repeat(MOST_SIGNATURES)
  const broken = junk.replaceAll(/bh=[^;]*/g, 'bh=AAAA')
  assert.equal(fate(broken + one), '5.7.20', 'only so many are looked at')
})

test('a header without end is refused, and costs no more than it may', () => {
  const one = signed(HEADER, BODY, by(rsa.key))
  assert.equal(fate(`X: ${'y'.repeat(LONGEST_HEADER)}\r\n${one}`, undefined, { cut: 997 }), '5.7.22')
})

test('keys: revoked, for another purpose, too short, other algorithm, none; DNS in trouble', () => {
  const one = signed(HEADER, BODY, by(rsa.key))
  const records = [
    rsa.record.replace(/p=.*/, 'p='),
    `${rsa.record}; s=tlsrpt`,
    `${rsa.record}; h=sha1`,
    rsa.record.replace('DKIM1', 'DKIM2'),
    ed.record,
    'k=rsa; p=AAAA',
    '',
  ]
  for (const record of records) assert.equal(fate(one, dns(record)), '5.7.20', record)
  assert.equal(fate(one, dns(rsa.record.replace('v=DKIM1; ', ''))), 'ok')
  assert.equal(fate(one, new Map([['k1._domainkey.example.org', { kind: 'found', texts: [] }]])), '5.7.20')
  assert.equal(fate(one, new Map([['k1._domainkey.example.org', { kind: 'later' }]])), '4.7.5')
  assert.equal(fate(one, new Map([['k1._domainkey.example.org', null]])), '4.7.5')
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 768 })
  const short = publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  assert.equal(fate(signed(HEADER, BODY, by(privateKey)), dns(`v=DKIM1; p=${short}`)), '5.7.20')
})

test('each key is asked for once, and one that is not needed not at all', () => {
  const watch = new SignatureWatch('ann@example.org')
  const octets = Buffer.from(signed(HEADER, BODY, by(rsa.key), by(ed.key), by(ed.key, 'elsewhere.example')))
  watch.push(octets, 0, octets.length)
  const finding = watch.end(NOW)
  assert.deepEqual(keysWanted(finding), ['k1._domainkey.example.org'])
  const asked: string[] = []
  let answer: unknown
  verifySignatures(
    finding,
    (name, answered) => {
      asked.push(name)
      answered({ kind: 'found', texts: [ed.record] })
    },
    (refusal) => {
      answer = refusal
    },
  )
  assert.deepEqual([asked.length, answer], [1, null])
})

test('domains of authors: whatever follows an @ counts', () => {
  const cases: [string, string[] | null][] = [
    ['Ann <ann@Example.ORG>', ['example.org']],
    ['"x@y.example" <a@b.example>', ['b.example']],
    ['a@b.example (c@d.example (\\) e@f.example))', ['b.example']],
    ['x@evil.example <a@b.example>', ['evil.example', 'b.example']],
    ['list: a@b.example, "q@q"@c.example;', ['b.example', 'c.example']],
    ['<@one.example,@two.example:a@b.example>', ['one.example', 'two.example', 'b.example']],
    ['a@[192.0.2.1]', ['[192.0.2.1]']],
    [Buffer.from('ä@bücher.example').toString('latin1'), ['xn--bcher-kva.example']],
    ['nobody', null],
    ['a@', null],
    ['a@b@@c', null],
    ['"a@b.example', null],
    ['a@b.example (', null],
  ]
  for (const [value, domains] of cases) assert.deepEqual(authorDomains(value), domains, value)
})

test('signatures that are none', () => {
  const good = readFields(signed(HEADER, BODY, by(rsa.key)))[0] ?? assert.fail()
  const read = (from: RegExp | string, to: string) =>
    readSignature({ ...good, raw: good.raw.replace(from, to) })
  assert.ok(readSignature(good))
  assert.ok(read('v=1', 'i=@mail.example.org; v=1'))
  const bad: [string | RegExp, string][] = [
    ['v=1', 'v=2'],
    ['rsa-sha256', 'rsa-sha1'],
    ['relaxed/relaxed', 'relaxed/relaxed/x'],
    ['relaxed/relaxed', 'nofws'],
    ['d=example.org', 'd=[192.0.2.1]'],
    ['s=k1', 's=../x'],
    ['v=1', 'v=1; i=@example.com'],
    ['v=1', 'v=1; q=dns/other'],
    [/h=from:from/, 'h=to'],
    [/x=\d+/, 'x=12'],
    [/x=\d+/, 'x=12x'],
    [/bh=[^;]*/, 'bh=!'],
    [/ b=/, ' c=simple; b='],
  ]
  for (const [from, to] of bad) assert.equal(read(from, to), null, `${String(from)} to ${to}`)
})

test('what is signed: all there is, and once more what must not be added', () => {
  const names = namesToSign(readFields('From: a\r\nSubject: b\r\nX: y\r\nReceived: z\r\nList-Id: l\r\n'))
  const always = [
    'to',
    'cc',
    'subject',
    'subject',
    'date',
    'reply-to',
    'message-id',
    'in-reply-to',
    'references',
  ]
  const mime = ['mime-version', 'content-type', 'content-transfer-encoding']
  assert.deepEqual(names, ['from', 'from', ...always, ...mime, 'list-id'])
})
