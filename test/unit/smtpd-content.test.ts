/**
 * Content between client and qmgr: inline or in chunks, bounded, completed, refused.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Content } from '../../services/smtpd/content.ts'
import type { ContentPlan } from '../../services/smtpd/content-plan.ts'
import type { Submission } from '../../services/smtpd/submission.ts'
import { CONTENT_CHUNK, CONTENT_WINDOW } from '../../shared/bus/messages.ts'
import { stageBounds } from '../system/smtpd-stage.ts'

const END = Buffer.from('\r\n.\r\n')
const TRACE = 'Received: from x\r\n'

class Outlet {
  octets = Buffer.alloc(0)
  largest = 0
  lasts: boolean[] = []
  aborts = 0
  chunk(_stream: number, data: Uint8Array, last: boolean): void {
    this.octets = Buffer.concat([this.octets, data])
    this.largest = Math.max(this.largest, data.length)
    this.lasts.push(last)
  }
  abort(): void {
    this.aborts++
  }
}

const INLINE_LIMIT = 128 << 10

function open(change: Partial<ContentPlan> = {}): { content: Content; outlet: Outlet } {
  const outlet = new Outlet()
  const plan: ContentPlan = {
    stream: 7,
    sizeLimit: 64 << 20,
    bareNewline: 'refuse',
    framing: 'dots',
    inlineLimit: INLINE_LIMIT,
    bounds: stageBounds,
    utf8: false,
    received: TRACE,
    submission: null,
    watch: null,
    authentication: null,
    signing: null,
    filters: null,
    room: 0,
    ...change,
  }
  return { content: new Content(plan, outlet), outlet }
}

test('a small message is gathered behind its trace header', () => {
  const { content, outlet } = open()
  assert.equal(content.push(Buffer.from('Subject: x\r\n\r\nbody\r\n.\r\nQUIT'), 0), 23)
  const { verdict, inline } = content.finish()
  assert.equal(String(inline), `${TRACE}Subject: x\r\n\r\nbody\r\n`)
  assert.deepEqual(verdict, { kind: 'whole', size: inline?.length })
  assert.equal(outlet.octets.length, 0)
})

test('octet by octet it is the same, over the growth of the buffer', () => {
  const text = `A: b\r\n\r\n${'0123456789\r\n'.repeat(5000)}`
  const { content } = open()
  for (const octet of Buffer.from(`${text}.\r\n`)) content.push(Buffer.from([octet]), 0)
  assert.equal(String(content.finish().inline), TRACE + text)
})

test('a large message leaves in chunks and is not kept', () => {
  const body = Buffer.from(`A: b\r\n\r\n${`${'y'.repeat(998)}\r\n`.repeat(3000)}`)
  const { content, outlet } = open()
  for (let at = 0; at < body.length; at += 50_000) {
    content.push(body.subarray(at, at + 50_000), 0)
    content.giveCredit(50_000)
  }
  assert.ok(content.push(Buffer.from('.\r\n'), 0) > 0)
  const { verdict, inline } = content.finish()
  assert.equal(inline, null)
  assert.deepEqual(verdict, { kind: 'whole', size: outlet.octets.length })
  assert.ok(outlet.octets.equals(Buffer.concat([Buffer.from(TRACE), body])))
  assert.ok(outlet.largest <= CONTENT_CHUNK)
  assert.deepEqual([outlet.lasts.at(-1), outlet.lasts.slice(0, -1).includes(true)], [true, false])
})

test('without credit it asks for a pause before the window is used up', () => {
  const { content, outlet } = open()
  const piece = Buffer.alloc(CONTENT_CHUNK, 'z')
  while (!content.blocked) content.push(piece, 0)
  assert.ok(outlet.octets.length > INLINE_LIMIT)
  content.push(Buffer.alloc(CONTENT_CHUNK, '\n'), 0)
  assert.ok(outlet.octets.length <= CONTENT_WINDOW, 'even with one more piece')
  const { content: other } = open()
  while (!other.blocked) other.push(piece, 0)
  other.giveCredit(CONTENT_WINDOW)
  assert.equal(other.blocked, false)
})

test('too large is found in the middle, read to the end, and given up once', () => {
  const { content, outlet } = open({ sizeLimit: 1 << 20 })
  const piece = Buffer.alloc(CONTENT_CHUNK, 'z')
  for (let n = 0; n < 40; n++) {
    content.push(piece, 0)
    assert.equal(n > 17 && content.blocked, false)
    content.giveCredit(CONTENT_CHUNK)
  }
  assert.ok(content.push(END, 0) > 0)
  assert.deepEqual(content.finish(), { verdict: { kind: 'too-large' }, inline: null })
  assert.equal(outlet.aborts, 1)
  assert.ok(outlet.octets.length <= (1 << 20) + TRACE.length)
})

test('the limit counts what the client sends, to the octet', () => {
  const { content } = open({ sizeLimit: 12 })
  content.push(Buffer.from('..234567890\r\n.\r\n'), 0)
  assert.equal(content.finish().verdict.kind, 'whole')
  const { content: more } = open({ sizeLimit: 11 })
  more.push(Buffer.from('..234567890\r\n.\r\n'), 0)
  assert.equal(more.finish().verdict.kind, 'too-large')
})

test('a bare newline is refused, or made whole', () => {
  const { content } = open()
  content.push(Buffer.from('a\nb\r\n.\r\n'), 0)
  assert.deepEqual(content.finish(), { verdict: { kind: 'bare-newline' }, inline: null })
  const { content: whole } = open({ bareNewline: 'normalise' })
  whole.push(Buffer.from('a\nb\r\n.\r\n'), 0)
  assert.equal(String(whole.finish().inline), `${TRACE}a\r\nb\r\n`)
})

test('a NUL is refused where it stands, in header or body, each by its own rule', () => {
  const kinds = (text: string, bounds: Partial<typeof stageBounds>, framing: 'dots' | 'octets' = 'dots') => {
    const { content, outlet } = open({ bounds: { ...stageBounds, ...bounds }, framing })
    const octets = Buffer.from(text, 'latin1')
    if (framing === 'octets') content.pushPart(octets, 0, octets.length)
    else content.push(Buffer.concat([octets, END]), 0)
    const { kind } = content.finish().verdict
    return outlet.aborts > 0 ? `${kind} given up` : kind
  }
  const long = `A: b\r\n\r\n${'y'.repeat(INLINE_LIMIT * 2)}`
  const both = 'A: \0\r\n\r\n\0'
  assert.equal(kinds('A: b\r\n\r\nc\0', {}), 'nul-in-body')
  assert.equal(kinds('A: b\r\n\r\nc\0', { bodyNul: 'pass' }), 'whole')
  assert.equal(kinds('A: b\r\n\r\nc\0', {}, 'octets'), 'whole', 'binary')
  assert.equal(kinds('A: \0\r\n\r\nc', { headerNul: 'pass' }), 'whole', 'the header is not the body')
  assert.equal(kinds(both, {}), 'nul-in-header')
  assert.equal(kinds(both, { headerNul: 'pass' }), 'nul-in-body')
  assert.equal(kinds(both, { headerNul: 'pass', bodyNul: 'pass' }), 'whole')
  assert.equal(kinds('no header\0', { headerNul: 'pass' }), 'nul-in-body')
  assert.equal(kinds(`${long}\0`, {}), 'nul-in-body given up', 'after a part of it has left')
  assert.equal(kinds(`${long}\0`, { bodyNul: 'pass' }), 'whole')
})

test('a hundred hops pass, more are a loop; the body does not count', () => {
  const hops = (n: number) => `${'received: x\r\n'.repeat(n)}\r\n${'Received: y\r\n'.repeat(200)}.\r\n`
  const { content } = open()
  content.push(Buffer.from(hops(100)), 0)
  assert.equal(content.finish().verdict.kind, 'whole')
  const { content: more } = open()
  more.push(Buffer.from(hops(101)), 0)
  assert.equal(more.finish().verdict.kind, 'looping')
})

test('a large message with too many hops never reaches qmgr', () => {
  const { content, outlet } = open()
  content.push(Buffer.from(`${'Received: x\r\n'.repeat(101)}\r\n`), 0)
  content.push(Buffer.alloc(2 * INLINE_LIMIT, 'x'), 0)
  content.push(END, 0)
  assert.equal(content.finish().verdict.kind, 'looping')
  assert.equal(outlet.octets.length, 0)
})

test('when qmgr goes in the middle, the message is lost to it', () => {
  const { content } = open()
  content.push(Buffer.alloc(2 * INLINE_LIMIT, 'x'), 0)
  content.lose()
  content.push(END, 0)
  assert.equal(content.finish().verdict.kind, 'queue-lost')
})

test('a client that vanishes has its stream given up', () => {
  const { content, outlet } = open()
  content.push(Buffer.alloc(2 * INLINE_LIMIT, 'x'), 0)
  content.abandon()
  assert.equal(outlet.aborts, 1)
})

const submission: Submission = {
  id: 268435457,
  hostname: 'mx.example.org',
  qualifyDomain: '',
  sender: 'a@example.org',
  startedAt: 0,
  author: null,
  owns: () => false,
  mayWrite: () => true,
  asksHeader: false,
  asIs: false,
}

test('a submission gets the fields it lacks, behind the trace header', () => {
  const { content } = open({ submission })
  content.push(Buffer.from('Subject: x\r\nDATE : y\r\n\r\nFrom: not a field\r\n.\r\n'), 0)
  assert.equal(
    String(content.finish().inline),
    `${TRACE}From: <a@example.org>\r\nMessage-ID: <T4FTI4H.0@mx.example.org>\r\nSubject: x\r\nDATE : y\r\n\r\nFrom: not a field\r\n`,
  )
})

test('an empty submission and a large one are completed too', () => {
  const { content } = open({ submission: { ...submission, sender: '' } })
  content.push(Buffer.from('.\r\n'), 0)
  assert.match(
    String(content.finish().inline),
    /^Received.*\r\nDate: Thu, 01 Jan 1970 00:00:00 \+0000\r\nMessage-ID: .*\r\n$/,
  )
  const { content: large, outlet } = open({ submission })
  large.push(Buffer.from(`From: me\r\n\r\n${'x'.repeat(2 * INLINE_LIMIT)}\r\n.\r\n`), 0)
  large.finish()
  assert.match(
    outlet.octets.toString('latin1', 0, 200),
    /^Received: from x\r\nDate: .*\r\nMessage-ID: .*\r\nFrom: me\r\n\r\nxxx/,
  )
})
