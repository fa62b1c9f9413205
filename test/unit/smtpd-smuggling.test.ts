/**
 * Smuggling without a socket: each false end of data, after DATA and BDAT, at every split in two, in three and octet
 * by octet. Refused, there is no message; normalised, there is one, and no bare CR or LF in it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Player } from '../dialogue/player.ts'
import { BARE, framed, IMPOSTORS, smuggling } from '../support/smuggling.ts'
import { stageBounds } from '../system/smtpd-stage.ts'

const options = { timeout: 300_000 }
const ENVELOPE = 'EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\n'

type Rule = 'refuse' | 'normalise'
type Framing = 'DATA' | 'BDAT'

interface Outcome {
  heard: string
  contents: string[]
  senders: string[]
}

async function perform(rule: Rule, framing: Framing, pieces: readonly string[]): Promise<Outcome> {
  const player = new Player({ bareNewline: rule, bounds: { ...stageBounds, bodyNul: 'pass' } })
  await player.write(Buffer.from(framing === 'DATA' ? `${ENVELOPE}DATA\r\n` : ENVELOPE))
  player.takeOutput()
  for (const piece of pieces) if (piece !== '') await player.write(Buffer.from(piece, 'latin1'))
  await player.write(Buffer.from('NOOP\r\n'))
  return {
    heard: player.takeOutput(),
    contents: player.messages.map(({ content }) => content.toString('latin1')),
    senders: player.messages.map(({ envelope }) => envelope.sender),
  }
}

function check(rule: Rule, { heard, contents, senders }: Outcome, sent: string): void {
  if (rule === 'refuse') {
    assert.match(heard, /^550 5\.6\.11 [^\r]*\r\n250 2\.0\.0 Ok\r\n$/, JSON.stringify(sent))
    assert.deepEqual(contents, [])
    return
  }
  assert.match(heard, /^250 2\.0\.0 T\w+ queued\r\n250 2\.0\.0 Ok\r\n$/, JSON.stringify(sent))
  assert.deepEqual(senders, ['a@client.example'])
  assert.doesNotMatch(contents[0] ?? '', BARE)
  assert.match(contents[0] ?? '', /smuggled\r\n$/, 'all of it is one message')
}

for (const rule of ['refuse', 'normalise'] as const)
  for (const framing of ['DATA', 'BDAT'] as const)
    test(`${framing}, ${rule}: never two messages out of one`, options, async () => {
      for (const impostor of IMPOSTORS) {
        const whole = framed(framing, smuggling(impostor))
        for (let at = 0; at <= whole.length; at++)
          check(rule, await perform(rule, framing, [whole.slice(0, at), whole.slice(at)]), impostor)
        check(rule, await perform(rule, framing, [...whole]), impostor)
      }
    })

test('a chunk may end between CR and LF, and nothing is bare', options, async () => {
  for (const ends of ['\r\n', '\r\n.\r\n']) {
    const content = smuggling(ends)
    for (let at = 1; at < content.length; at++) {
      const chunks = `BDAT ${at}\r\n${content.slice(0, at)}BDAT ${content.length - at} LAST\r\n${content.slice(at)}`
      const { contents } = await perform('refuse', 'BDAT', [chunks])
      assert.deepEqual(contents, [content])
    }
  }
})

test('an impostor over the border of chunks is one all the same', options, async () => {
  for (const impostor of IMPOSTORS) {
    const content = smuggling(impostor)
    for (let at = 1; at < content.length; at++) {
      const chunks = `BDAT ${at}\r\n${content.slice(0, at)}BDAT ${content.length - at} LAST\r\n${content.slice(at)}`
      const { heard, contents } = await perform('refuse', 'BDAT', [chunks])
      assert.match(heard, /550 5\.6\.11 /)
      assert.deepEqual(contents, [])
    }
  }
})

test('any line ends at any splits: one message at most, nothing bare in it', options, async () => {
  const parts = fc.array(fc.constantFrom('\r', '\n', '.', '\r\n', 'x', 'QUIT', '\0'), { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(
      parts,
      fc.array(fc.nat(), { maxLength: 5 }),
      fc.constantFrom<Framing>('DATA', 'BDAT'),
      fc.constantFrom<Rule>('refuse', 'normalise'),
      async (chosen, cuts, framing, rule) => {
        // what ends the data truly is no smuggling
        const middle = chosen.join('').replaceAll('\r\n.\r\n', '')
        fc.pre(!`${smuggling(middle)}`.includes('\r\n.\r\n'))
        const whole = framed(framing, smuggling(middle))
        const places = cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b)
        const pieces = [0, ...places].map((from, n) => whole.slice(from, places[n] ?? whole.length))
        const outcome = await perform(rule, framing, pieces)
        check(BARE.test(middle) && rule === 'refuse' ? 'refuse' : 'normalise', outcome, middle)
      },
    ),
    { numRuns: 1000 },
  )
})
