/** What stands around ciphertext, the armour of age, and the keys that a config may name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AgeCipher, Armour } from '../../services/lda/age-cipher.ts'
import { KeyTrouble } from '../../services/lda/cipher.ts'
import { gpgArguments } from '../../services/lda/gpg-cipher.ts'
import { isEncrypted, protectedHeader, wrapperOf } from '../../services/lda/wrapper.ts'
import { isAgeRecipient } from '../../shared/config/encryption-values.ts'

const RECIPIENT = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p'
const encryption = { kind: 'openpgp' as const, keys: ['a@b'], showHeader: true }
const terms = { encryption, boundary: 'B', now: Date.UTC(2026, 0, 2, 3, 4, 5) }

test('the wrapper shows four fields, each once, and never Subject', () => {
  const header =
    'Received: x\r\nFrom: a\r\n b@c\r\nFrom: twice\r\nSubject: hush\r\nCc: z\r\nTo: d\r\nMessage-ID: <1>\r\nDate: today'
  const { opening, closing } = wrapperOf(header, terms)
  assert.equal(
    opening.slice(0, opening.indexOf('Content-Type')),
    'From: a\n b@c\nTo: d\nDate: today\nMessage-ID: <1>\nSubject: ...\nMIME-Version: 1.0\n',
  )
  assert.equal(closing, '\n--B--\n')
})

test('without show-header, and without anything to show, the wrapper is a message all the same', () => {
  const bare = 'From: ... <encrypted@invalid>\nDate: Fri, 02 Jan 2026 03:04:05 +0000\nSubject: ...\n'
  const hidden = { ...terms, encryption: { ...encryption, showHeader: false } }
  assert.ok(wrapperOf('From: a\r\nTo: b', hidden).opening.startsWith(bare))
  assert.ok(wrapperOf('', terms).opening.startsWith(bare))
  assert.ok(wrapperOf(`From: ${'a'.repeat(9000)}`, terms).opening.startsWith(bare))
})

test('a field that is shown cannot end the header', () => {
  const { opening } = wrapperOf('From: a\r\n \r\nTo: b\rSubject: x\r\nDate: d', terms)
  assert.equal(opening.split('\n\n')[0]?.includes('boundary="B"'), true)
  assert.doesNotMatch(opening, /^Subject: x/m)
})

test('what is encrypted already says so in one Content-Type', () => {
  const yes = [
    'Content-Type: multipart/encrypted; boundary=x',
    'A: b\r\ncontent-type:\r\n Multipart/Encrypted;\r\n boundary=x',
    'Content-Type: application/pkcs7-mime; name=x; smime-type=enveloped-data',
    'Content-Type: application/x-pkcs7-mime; smime-type="authEnveloped-data"',
  ]
  const no = [
    '',
    'Content-Type: text/plain; x="multipart/encrypted;"',
    'Content-Type: application/pkcs7-mime; smime-type=signed-data',
    'Content-Type: multipart/encrypted; boundary=x\r\nContent-Type: text/plain',
    'X-Content-Type: multipart/encrypted; boundary=x',
  ]
  for (const header of yes) assert.equal(isEncrypted(header), true, header)
  for (const header of no) assert.equal(isEncrypted(header), false, header)
})

test('Subject is marked as the real one', () => {
  const mark = ';\r\n\tprotected-headers="v1"; hp="cipher"'
  assert.equal(
    protectedHeader('A: $&\r\nContent-Type: text/html;\r\nB: c'),
    `A: $&\r\nContent-Type: text/html${mark}\r\nB: c`,
  )
  assert.equal(protectedHeader('A: b'), `A: b\r\nContent-Type: text/plain${mark}`)
  const twice = 'Content-Type: a/b\r\nContent-Type: c/d'
  assert.equal(protectedHeader(twice), twice)
})

test('armour is the same at every split', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.array(fc.nat(60)), (octets, sizes) => {
      const armour = new Armour()
      const written: Buffer[] = []
      let at = 0
      for (const size of sizes) {
        written.push(armour.push(octets.subarray(at, at + size)))
        at += size
      }
      written.push(armour.push(octets.subarray(at)), armour.end())
      const text = Buffer.concat(written).toString()
      assert.equal(text.replaceAll('\n', ''), Buffer.from(octets).toString('base64'))
      const lines = text.split('\n')
      assert.equal(lines.pop(), '')
      assert.ok(lines.every((line, n) => line.length === 64 || (n === lines.length - 1 && line.length > 0)))
    }),
  )
})

test('what stops age is told by end, and whoever pushes is not kept waiting', async () => {
  const octets = Buffer.alloc(200_000)
  const bad = new AgeCipher(['age1nonsense'], () => undefined)
  bad.push(octets)
  await bad.pending()
  await assert.rejects(bad.end(), KeyTrouble)
  const full = Object.assign(new Error('full'), { code: 'ENOSPC' })
  const stuck = new AgeCipher([RECIPIENT], () => {
    throw full
  })
  for (let n = 0; n < 5; n++) stuck.push(octets)
  await stuck.pending()
  await assert.rejects(stuck.end(), full)
  const unwanted = new AgeCipher([RECIPIENT], () => undefined)
  unwanted.push(octets)
  unwanted.abort()
  await unwanted.pending()
  await assert.rejects(unwanted.end())
})

test('gpg is told whose keys, and never to ask anybody', () => {
  const some = gpgArguments(['/k.asc', 'a@b.example', 'F'.repeat(40)], '/home/a')
  assert.deepEqual(some.slice(0, 2), ['--homedir', '/home/a/.gnupg'])
  assert.deepEqual(some.slice(-7), [
    ...['--recipient-file', '/k.asc', '--recipient', '<a@b.example>', '--recipient', 'F'.repeat(40)],
    '--encrypt',
  ])
  assert.ok(['--batch', '--no-options', '--disable-dirmngr'].every((word) => some.includes(word)))
  assert.ok(!some.includes('--no-keyring'))
  assert.ok(gpgArguments(['/k.asc'], '/home/a').includes('--no-keyring'))
})

test('one wrong character in a recipient of age is seen', () => {
  assert.ok(isAgeRecipient(RECIPIENT))
  for (let at = 4; at < RECIPIENT.length; at++) {
    const other = RECIPIENT[at] === 'q' ? 'p' : 'q'
    assert.ok(!isAgeRecipient(RECIPIENT.slice(0, at) + other + RECIPIENT.slice(at + 1)), `at ${at}`)
  }
  assert.ok(!isAgeRecipient(RECIPIENT.toUpperCase()))
  assert.ok(!isAgeRecipient(RECIPIENT.slice(0, -1)))
})
