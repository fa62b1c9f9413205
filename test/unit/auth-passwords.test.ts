/** Stored passwords: every scheme that is read, and what is not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePasswordFile, withAccount } from '../../shared/auth/password-file.ts'
import { makeScramHash, makeScryptHash, matches, parseHash } from '../../shared/auth/password-hash.ts'

/** All of `secret`; made by openssl, doveadm, htpasswd's kin and glibc. */
const SCHEMES: readonly string[] = [
  '$6$posthorn$IBx65xxPXxZRNf.pj1nKPYBhGyDZyDuVrI.VH.rd/7KQHX1.p8pIsEgFvrib4nHvH3HqhT4.SxOSmVH4z8b0b0',
  '$5$posthorn$.EOIpw8AKAzwPxdb94vVELnBGpdPpMn9.UEdJDLdWr.',
  '{MD5-CRYPT}$1$posthorn$ks74c6vKj/mRGgT2n11Vr/',
  '$y$j9T$posthornposthorn$28TfkXk2M.L3k8gHDTX8VNfZB4ILRMl78g5R/P9.P9/',
  '{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a',
  '{SSHA512}IwcO9WmxBrAdXmGwY6bMoQiKfpvn34CVD6mc8OQsfkxzPVdYvnjVreSUfWRmySWxT+8aiG/5frICeu4RHAzFanBvc3Rob3Ju',
  '{SSHA256.HEX}e7b63af985786e439c160e521f411b0d975e97d1ff79ae55713e6bfb5ad84588706f7374686f726e',
  '{SSHA}123GlVE5VKHMgiE0c0VoB+qctsdwb3N0aG9ybg==',
  '{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=',
  '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=',
  '{PLAIN-MD5}5ebe2294ecd0e0f08eab7690d2a6ee69',
  '{PLAIN}secret',
  '{PBKDF2}$1$posthorn$5000$6f7516532148e43c4725216cba82ecc20073fad9',
  '{SCRAM-SHA-256}4096,cG9zdGhvcm4=,ySW/RPMRyLCo7J8hXJat/JylJGyhTVzbhuokd2zFGAA=,8do6ZuIaDn79eBkJZyIK2FyH7N5Q+wMmcWhoKOtdtMg=',
  '$scrypt$ln=14,r=8,p=1$cG9zdGhvcm4=$2zbcnIb+uhPv+iksD5XpUGZ1AW8J0ZpoXXR+OyvsC/Q=',
]

test('what we write, we read', async () => {
  for (const made of [await makeScryptHash('Grüße'), await makeScramHash('Grüße')]) {
    const stored = parseHash(made)
    assert.ok(stored, made)
    assert.equal(await matches(stored, 'Grüße'), true)
    // the same letters, composed otherwise
    assert.equal(await matches(stored, 'Gru\u0308ße'), true)
    assert.equal(await matches(stored, 'grüße'), false)
    assert.equal(await matches(stored, ''), false)
  }
})

for (const text of SCHEMES) {
  test(`${text.slice(0, 20)}…`, async () => {
    const stored = parseHash(text)
    assert.ok(stored)
    assert.equal(await matches(stored, 'secret'), true)
    assert.equal(await matches(stored, 'Secret'), false)
  })
}

test('what is none is none', async () => {
  const none = [
    ...['', 'secret', '{}x', '{ROT13}frperg', '{SSHA}x', '{SHA256}YQ==', '{SCRAM-SHA-256}1,a,b,c'],
    ...['$scrypt$ln=40,r=8,p=1$YQ==$YQ==', '{PBKDF2}$1$a$99999999$00', '{CRYPT}'],
  ]
  assert.deepEqual(
    none.filter((text) => parseHash(text) !== null),
    [],
  )
  for (const locked of ['!', '*', '!$6$x$y'])
    assert.equal(await matches(parseHash(locked) ?? { kind: 'plain', password: '' }, ''), false)
  assert.equal(await matches({ kind: 'crypt', text: '$nonsense$' }, 'secret'), false)
})

test('one bad line takes no other account away', () => {
  const { value, faults } = parsePasswordFile(
    '# users\n\nanna:{PLAIN}a\nbert\ncarl:{ROT13}x\nanna:{PLAIN}b\ndora:$6$a$b:19000:0:99999:7:::\n',
  )
  assert.deepEqual([...value.keys()], ['anna', 'dora'])
  assert.deepEqual(value.get('anna'), { kind: 'plain', password: 'a' })
  assert.deepEqual(
    faults.map(({ line }) => line),
    [4, 5, 6],
  )
})

test('an account is put in, changed and taken out, and all else stays', () => {
  const text = '# users\nanna:{PLAIN}a:1000:home\nbert:{PLAIN}b\n'
  assert.equal(withAccount(text, 'anna', 'NEW'), '# users\nanna:NEW:1000:home\nbert:{PLAIN}b\n')
  assert.equal(withAccount(text, 'bert', null), '# users\nanna:{PLAIN}a:1000:home\n')
  assert.equal(withAccount('', 'carl', 'X'), 'carl:X\n')
})
