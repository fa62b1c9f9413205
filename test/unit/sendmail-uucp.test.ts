/** Senders out of `From ` lines. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { senderOfEnvelopeLines } from '../../commands/sendmail/uucp.ts'
import { splitHeader } from '../../shared/message/header.ts'

test('who and from where', () => {
  const date = 'Thu Jan  1 00:00:00 1998'
  const cases: [string[], string | null][] = [
    [[], null],
    [['no such line\r\n'], null],
    [[`From ann ${date}\r\n`], 'ann'],
    [[`From ann@example.org ${date}\r\n`], 'ann@example.org'],
    [[`From ann ${date} remote from one\r\n`], 'ann@one'],
    [[`From two!ann ${date} remote from one\r\n`], 'two!ann@one'],
    [[`From root ${date} remote from one\r\n`, `>From ann ${date} remote from two\r\n`], 'two!ann@one'],
    [[`From ann@example.org ${date} remote from one\r\n`], 'ann@example.org'],
    [[`From <> ${date}\r\n`], ''],
    [[`From MAILER-DAEMON ${date}\r\n`], ''],
  ]
  for (const [lines, sender] of cases) assert.equal(senderOfEnvelopeLines(lines), sender, lines.join(''))
})

test('they are no part of the header, and nothing below one is one', () => {
  const split = splitHeader('From a x\r\n>From b y\r\nTo: c\r\n\r\n>From d\r\n', true)
  assert.deepEqual(split?.envelopeLines, ['From a x\r\n', '>From b y\r\n'])
  assert.deepEqual([split?.fields.length, split?.body], [1, '>From d\r\n'])
  assert.equal(splitHeader('>From b\r\n\r\n', true)?.body, '>From b\r\n\r\n')
})

test('a line without an end in sight takes no time', () => {
  assert.equal(senderOfEnvelopeLines([`From ${'x'.repeat(900_000)}`])?.length, 995)
  assert.equal(senderOfEnvelopeLines([`From ${' '.repeat(900_000)}`]), null)
})
