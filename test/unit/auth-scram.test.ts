/** SCRAM: the example of RFC 7677, and what a server must not take. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { mechanisms } from '../../services/smtpd/sasl.ts'
import type { Channel, SaslStep } from '../../services/smtpd/sasl-step.ts'
import {
  attribute,
  authMessage,
  clientProof,
  deriveKeys,
  encodeName,
  isProof,
  parseClientFinal,
  parseClientFirst,
  parseServerFirst,
  prepared,
  serverSignature,
} from '../../shared/smtp/scram.ts'

const FIRST = 'n=user,r=rOprNGfwEbeRWgbNEkqO'
const SERVER_FIRST = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'
const FINAL = 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
const PROOF = 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ='
const SIGNATURE = '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='

test('the example of RFC 7677', async () => {
  const said = parseServerFirst(SERVER_FIRST)
  assert.ok(said)
  const keys = await deriveKeys('pencil', said.salt, said.iterations)
  const message = authMessage(FIRST, SERVER_FIRST, FINAL)
  assert.equal(clientProof(keys, message).toString('base64'), PROOF)
  assert.equal(serverSignature(keys, message).toString('base64'), SIGNATURE)
  const final = parseClientFinal(`${FINAL},p=${PROOF}`)
  assert.ok(final)
  assert.ok(isProof(keys, message, final.proof))
  assert.ok(!isProof(keys, `${message}x`, final.proof))
})

test('names are escaped, passwords prepared', () => {
  assert.equal(encodeName('a=b,c'), 'a=3Db=2Cc')
  assert.equal(parseClientFirst('n,,n=a=3Db=2Cc,r=x')?.name, 'a=b,c')
  assert.equal(parseClientFirst('n,,n=a=b,r=x'), null)
  assert.equal(prepared('I\u00adX\u00a0\u2168'), 'IX IX')
  assert.equal(attribute('n=u,r=1', 'r'), '1')
  assert.equal(parseServerFirst('r=a,s=YQ==,i=4095'), null)
  assert.equal(parseServerFirst('r=a,s=YQ==,i=999999999'), null)
})

const channel: Channel = {
  exporter: Buffer.alloc(32, 7),
  bindingOffered: true,
  certificateNames: [],
  random: (octets) => Buffer.alloc(octets, 1),
}

/** What a client that knows the password makes of the server's steps. */
async function play(change: { plus?: boolean; gs2?: string; exporter?: Buffer; password?: string }) {
  const { plus = false, exporter = Buffer.alloc(0), password = 'pencil' } = change
  const gs2 = change.gs2 ?? (plus ? 'p=tls-exporter,,' : 'n,,')
  const bare = 'n=anna,r=abc'
  const keys = await deriveKeys('pencil', Buffer.from('salt'), 4096)
  const start = mechanisms.get(plus ? 'SCRAM-SHA-256-PLUS' : 'SCRAM-SHA-256')
  assert.ok(start)
  let step: SaslStep = start(channel, Buffer.from(gs2 + bare))
  if (step.kind !== 'check') return step
  step = step.answer({ kind: 'keys', keys, known: true })
  assert.equal(step.kind, 'challenge')
  if (step.kind !== 'challenge') return step
  const serverFirst = step.data.toString()
  const said = parseServerFirst(serverFirst)
  assert.ok(said)
  assert.ok(said.nonce.startsWith('abc'))
  const binding = Buffer.concat([Buffer.from(gs2), exporter]).toString('base64')
  const final = `c=${binding},r=${said.nonce}`
  const own = await deriveKeys(password, said.salt, said.iterations)
  const message = authMessage(bare, serverFirst, final)
  step = step.answer(Buffer.from(`${final},p=${clientProof(own, message).toString('base64')}`))
  if (step.kind !== 'challenge') return step
  assert.equal(step.data.toString(), `v=${serverSignature(keys, message).toString('base64')}`)
  return step.answer(Buffer.alloc(0))
}

test('a client that knows the password gets in, with and without binding', async () => {
  assert.deepEqual(await play({}), { kind: 'done', login: 'anna' })
  const exporter = channel.exporter as Buffer
  assert.deepEqual(await play({ plus: true, exporter }), { kind: 'done', login: 'anna' })
})

test('a wrong password, a foreign binding and a downgrade do not', async () => {
  const wrong = { kind: 'failed', why: 'wrong', login: 'anna' }
  assert.deepEqual(await play({ password: 'pencils' }), wrong)
  assert.deepEqual(await play({ plus: true, exporter: Buffer.alloc(32, 8) }), wrong)
  assert.deepEqual(await play({ gs2: 'y,,' }), wrong)
  assert.deepEqual(await play({ plus: true, gs2: 'n,,' }), wrong)
  assert.deepEqual(await play({ plus: true, gs2: 'p=tls-unique,,' }), wrong)
  assert.deepEqual(await play({ gs2: 'n,a=bert,' }), wrong)
})

test('no octets of a client make a mechanism throw, or let anybody in', () => {
  const parts = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((octets) => Buffer.from(octets)),
    fc
      .array(
        fc.constantFrom(
          'n,',
          'y',
          'p=tls-exporter',
          'a=x',
          'n=anna',
          ',',
          'r=a',
          'c=biws',
          'p=YQ==',
          '\0',
          'x',
          '\x01',
          'auth=Bearer t',
          'user=',
        ),
      )
      .map((pieces) => Buffer.from(pieces.join(''))),
  )
  const property = fc.property(
    fc.constantFrom(...mechanisms.keys()),
    fc.option(parts),
    fc.array(parts, { maxLength: 5 }),
    (name, initial, responses) => {
      let step: SaslStep | undefined = mechanisms.get(name)?.(channel, initial)
      for (const response of responses) {
        if (step?.kind === 'challenge') step = step.answer(response)
        else if (step?.kind === 'check') step = step.answer({ kind: 'false' })
      }
      assert.notEqual(step?.kind, 'done')
    },
  )
  fc.assert(property, { numRuns: 2000 })
})
