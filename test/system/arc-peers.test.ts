/**
 * Our ARC against dkimpy, Debian's python3-dkim: chains that it seals pass, chains that are broken in any part fail, and
 * it says the same of each.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { verifyArc } from '../../services/smtpd/authentication/arc.ts'
import { AuthenticationWatch } from '../../services/smtpd/authentication/watch.ts'
import { type Dkimpy, dkimpy } from '../support/dkimpy.ts'
import { signingKey } from '../support/signing-key.ts'

const timeout = 400_000
const key = signingKey('rsa')
const BODY = 'Some  words \r\n\r\n.dots\r\n\r\n'
const MESSAGE = `From: Ann <ann@example.org>\r\nTo: l@lists.example\r\nSubject:  folded\r\n\there\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\n${BODY}`
const SEALERS = ['one.example', 'two.example', 'three.example']

let peer: Dkimpy | null = null
/** With one, two and three sets. */
let chains: string[] = []

before(
  () => {
    peer = dkimpy()
    if (peer) chains = peer.seal(MESSAGE, SEALERS, key.pem)
  },
  { timeout },
)

async function judge(message: string, sealers: readonly string[] = [], record = key.record): Promise<string> {
  const origin = {
    hostname: 'mx.example',
    client: '192.0.2.1',
    helo: 'h.example',
    sender: 'a@example.org',
    sealers,
  }
  const watch = new AuthenticationWatch(origin)
  const wire = Buffer.from(message, 'latin1')
  for (let at = 0; at < wire.length; at += 100) watch.push(wire, at, Math.min(wire.length, at + 100))
  const { arc, from } = watch.end(Math.floor(Date.now() / 1000))
  if (!arc) return 'none'
  const text = () => Promise.resolve({ kind: 'found' as const, texts: [record] })
  const { result, trusted, sealer, sets } = await verifyArc(arc, { sealers, from }, text)
  return `${result}${trusted ? ' trusted' : ''} ${sets} ${sealer}`.trim()
}

function changed(text: string, from: string | RegExp, to: string): string {
  const made = text.replace(from, to)
  assert.notEqual(made, text, `nothing to change: ${from}`)
  return made
}

/** Each by what was done to it; of all of them dkimpy must say the same. */
function broken(chain: string): Record<string, string> {
  const set = (n: number, field: string) => new RegExp(`^${field}: i=${n};[\\s\\S]*?\\r\\n(?![ \\t])`, 'im')
  return {
    body: changed(chain, 'Some', 'Other'),
    subject: changed(chain, 'folded', 'bent'),
    'first results': changed(chain, /(^ARC-Authentication-Results: i=1;[\s\S]*?dmarc=)pass/im, '$1none'),
    'last results': changed(chain, /(^ARC-Authentication-Results: i=3;[\s\S]*?dmarc=)fail/im, '$1pass'),
    'first seal': changed(chain, set(1, 'ARC-Seal'), ''),
    'middle message signature': changed(chain, set(2, 'ARC-Message-Signature'), ''),
    'cv of the last': changed(chain, /cv=pass/i, 'cv=fail'),
    'a seal twice': changed(chain, /^(ARC-Seal: i=2;[\s\S]*?\r\n)(?![ \t])/im, '$1$1'),
    'the last set': ['ARC-Seal', 'ARC-Message-Signature', 'ARC-Authentication-Results'].reduce(
      (text, field) => changed(text, set(2, field), ''),
      chain,
    ),
  }
}

test('what dkimpy seals passes, once, twice and three times', { timeout }, async (t) => {
  if (!peer) return t.skip('no dkimpy here')
  assert.equal(await judge(MESSAGE), 'none')
  for (const [n, chain] of chains.entries()) assert.equal(await judge(chain), `pass ${n + 1} ${SEALERS[n]}`)
  assert.equal(chains.length, 3)
})

test('a chain that is broken anywhere fails, and dkimpy agrees', { timeout }, async (t) => {
  if (!peer) return t.skip('no dkimpy here')
  const [, , chain = ''] = chains
  const cases = { whole: chain, ...broken(chain) }
  const theirs = peer.verify(Object.values(cases), key.record)
  for (const [n, [what, message]] of Object.entries(cases).entries()) {
    const expected = what === 'whole' ? 'pass' : 'fail'
    assert.equal((await judge(message)).split(' ')[0], expected, what)
    assert.equal(theirs[n], expected, `dkimpy: ${what}`)
  }
  assert.match(await judge(chain, [], signingKey('rsa').record), /^fail/, 'another key')
})

test('who is believed can vouch for those behind it only if they are believed too', {
  timeout,
}, async (t) => {
  if (!peer) return t.skip('no dkimpy here')
  const [, , chain = ''] = chains
  assert.match(await judge(chain, SEALERS), /^pass trusted/)
  assert.match(
    await judge(chain, ['three.example', 'two.example']),
    /^pass 3/,
    'only the first had seen it pass',
  )
  assert.match(await judge(chain, ['one.example']), /^pass 3/)
  assert.match(await judge(chain, ['three.example', 'one.example']), /^pass 3/)
  assert.match(await judge(chains[0] ?? '', ['one.example']), /^pass trusted 1/)
  assert.match(await judge(changed(chain, 'Some', 'Other'), SEALERS), /^fail/)
})
