/**
 * Our DKIM against dkimpy, Debian's python3-dkim: what we sign it verifies, what it signs we verify, over all
 * canonicalizations and both algorithms, with bodies that are hard to get right.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { DkimSigner } from '../../commands/sign/dkim-signer.ts'
import { judge } from '../../services/smtpd/signature/judge.ts'
import { SignatureWatch } from '../../services/smtpd/signature/watch.ts'
import { readFields } from '../../shared/dkim/fields.ts'
import { debianPrograms } from '../support/debian.ts'
import { signingKey } from '../support/signing-key.ts'

const timeout = 400_000
const HEADER =
  'From: Ann  <ann@example.org>\r\nTo: b@example.net\r\nSubject:   folded\r\n\there \t \r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\nX-8: \xe4\r\n'
const BODIES = [
  '',
  '\r\n\r\n',
  'x',
  ' a  b \t\r\n\r\nc\r\n\r\n\r\n',
  '.\r\n..dots\r\n',
  `${'long '.repeat(300)}\r\n\xff\r\n`,
]
const keys = { rsa: signingKey('rsa'), ed25519: signingKey('ed25519') }

let python: { path: string } | null = null

before(
  () => {
    const found = debianPrograms('python3', 'python3-dkim', 'python3-nacl')
    const path = found ? join(found.folder, 'usr/lib/python3/dist-packages') : ''
    const works =
      found && (existsSync(path) || path !== '') && run('import dkim, nacl', '', path).status === 0
    python = works ? { path } : null
  },
  { timeout },
)

function run(script: string, input: string, path: string) {
  const env = { ...process.env, PYTHONPATH: path }
  return spawnSync('python3', ['-c', script], { input, env, timeout: 60_000 })
}

/** A list of messages in base64 with what is to be done to each, one process for all: starting one is what takes time. */
const VERIFY = `
import sys, json, base64, dkim
def verify(one):
    record = one['record'].encode()
    return dkim.DKIM(base64.b64decode(one['message'])).verify(dnsfunc=lambda name, timeout=5: record)
json.dump([bool(verify(one)) for one in json.load(sys.stdin)], sys.stdout)`

const SIGN = `
import sys, json, base64, dkim
def sign(one):
    message = base64.b64decode(one['message'])
    signer = dkim.DKIM(message, signature_algorithm=one['algorithm'].encode())
    signed = signer.sign(b'k1', b'example.org', one['key'].encode(),
        canonicalize=(one['header'].encode(), one['body'].encode()),
        include_headers=[b'from', b'to', b'subject', b'date'])
    return base64.b64encode(signed + message).decode()
json.dump([sign(one) for one in json.load(sys.stdin)], sys.stdout)`

function ask<T>(script: string, questions: readonly object[], path: string): T[] {
  const { status, stdout, stderr } = run(script, JSON.stringify(questions), path)
  assert.equal(status, 0, String(stderr))
  return JSON.parse(String(stdout)) as T[]
}

const kinds = ['rsa', 'ed25519'] as const
const canonicalizations = ['simple', 'relaxed'] as const

function signedByUs(kind: (typeof kinds)[number], body: string): string {
  const signer = new DkimSigner()
  signer.push(Buffer.from(body, 'latin1'))
  const signers = [{ domain: 'example.org', selector: 'k1', key: keys[kind].key }]
  const signature = signer.sign(readFields(HEADER), signers, { signedAt: 1_700_000_000, expires: null })
  return `${signature}${HEADER}\r\n${body}`
}

test('dkimpy verifies what we sign, and not what we did not', { timeout }, (t) => {
  if (!python) return t.skip('no python3-dkim here')
  const questions = kinds.flatMap((kind) =>
    BODIES.flatMap((body) => {
      const message = signedByUs(kind, body)
      return [message, message.replace('Ann', 'Eve')].map((text) => ({
        message: Buffer.from(text, 'latin1').toString('base64'),
        record: keys[kind].record,
      }))
    }),
  )
  const answers = ask<boolean>(VERIFY, questions, python.path)
  assert.equal(answers.length, kinds.length * BODIES.length * 2)
  answers.forEach((good, n) => {
    assert.equal(
      good,
      n % 2 === 0,
      `${kinds[Math.floor(n / 2 / BODIES.length)]}, body ${Math.floor(n / 2) % BODIES.length}`,
    )
  })
})

test('we verify what dkimpy signs, in every canonicalization', { timeout }, (t) => {
  if (!python) return t.skip('no python3-dkim here')
  const questions = kinds.flatMap((kind) =>
    canonicalizations.flatMap((header) =>
      canonicalizations.flatMap((body) =>
        BODIES.map((text) => ({
          message: Buffer.from(`${HEADER}\r\n${text}`, 'latin1').toString('base64'),
          algorithm: `${kind}-sha256`,
          key: kind === 'rsa' ? keys.rsa.pem : bareKey(),
          record: keys[kind].record,
          header,
          body,
        })),
      ),
    ),
  )
  const signed = ask<string>(SIGN, questions, python.path)
  assert.equal(signed.length, questions.length)
  signed.forEach((message, n) => {
    const { algorithm, header, body, record } = questions[n] ?? assert.fail()
    const octets = Buffer.from(message, 'base64')
    const watch = new SignatureWatch('ann@example.org')
    watch.push(octets, 0, octets.length)
    const texts = new Map([['k1._domainkey.example.org', { kind: 'found' as const, texts: [record] }]])
    assert.equal(
      judge(watch.end(1_700_000_000), texts),
      null,
      `${algorithm} ${header}/${body} ${n % BODIES.length}`,
    )
  })
})

/** As dkimpy wants it. */
function bareKey(): string {
  return keys.ed25519.key.export({ type: 'pkcs8', format: 'der' }).subarray(-32).toString('base64')
}
