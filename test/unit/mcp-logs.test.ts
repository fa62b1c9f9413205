/** Log lines on their way through mcp: cut, filtered, wrapped, written, rotated, and lost without harm. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { LogCollector } from '../../services/mcp/log-collector.ts'
import { LogFile } from '../../services/mcp/log-file.ts'
import { cutAtLineEnd, filterLines, LONGEST_LINE, rank, wrapForeign } from '../../services/mcp/log-lines.ts'

const line = (level: string, msg: string) => `{"level":"${level}","msg":"${msg}"}\n`

function inScratch(work: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-logs-'))
  try {
    work(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

test('lines come out whole however they are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.array(fc.nat(50), { maxLength: 30 }), (texts, cuts) => {
      const all = Buffer.from(texts.map((text) => `${text.replaceAll('\n', ' ')}\n`).join(''))
      let rest: Buffer | null = null
      const out: Buffer[] = []
      let at = 0
      for (const cut of [...cuts, all.length]) {
        const cutAt: { whole: Buffer; rest: Buffer | null } = cutAtLineEnd(rest, all.subarray(at, at + cut))
        at += cut
        rest = cutAt.rest
        out.push(cutAt.whole)
        assert.ok(cutAt.whole.length === 0 || cutAt.whole.at(-1) === 10)
      }
      assert.deepEqual(Buffer.concat(out), all)
    }),
  )
})

test('a line without an end is cut and does not stay in memory', () => {
  const { whole, rest } = cutAtLineEnd(Buffer.alloc(LONGEST_LINE, 97), Buffer.alloc(10, 97))
  assert.equal(rest, null)
  assert.equal(whole.length, LONGEST_LINE + 11)
})

test('only lines that are severe enough pass, and those that say nothing of themselves', () => {
  const all = Buffer.from(
    `${line('debug', 'a') + line('info', 'b') + line('warn', 'c') + line('fatal', 'd')}odd\n`,
  )
  assert.equal(filterLines(all, rank('warn')).toString(), `${line('warn', 'c') + line('fatal', 'd')}odd\n`)
  assert.equal(filterLines(all, rank('debug')), all, 'nothing is copied for a channel that wants all')
  assert.equal(filterLines(Buffer.from(line('info', 'b')), rank('error')).length, 0)
})

test('the last words of a process become one line each time', () => {
  const words = Buffer.from(`${line('info', 'a')}Error: boom\n    at x.js:1\n\n${line('info', 'b')}bye\n`)
  const lines = wrapForeign(words, 'smtpd-1', new Date(0)).toString().trimEnd().split('\n')
  const parsed = lines.map((one) => JSON.parse(one) as { name?: string; text?: string; msg: string })
  assert.deepEqual(
    parsed.map(({ text, msg }) => text ?? msg),
    ['a', 'Error: boom\n    at x.js:1', 'b', 'bye'],
  )
  assert.equal(parsed[1]?.name, 'smtpd-1')
})

test('what a worker leaves unfinished is collected when it is gone', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-logs-'))
  const path = join(directory, 'all.log')
  const collector = new LogCollector()
  const target = { kind: 'file', path, size: null, versions: 0 } as const
  assert.deepEqual(collector.configure([{ name: 'all', target, severity: 'info' }], 'info'), [])
  const stream = new PassThrough()
  collector.attach(stream, 'qmgr', true)
  stream.write(line('info', 'a'))
  stream.end('half a wor')
  await new Promise((done) => stream.once('close', done))
  await collector.close()
  const [first = '', second = ''] = readFileSync(path, 'utf8').split('\n')
  assert.equal(`${first}\n`, line('info', 'a'))
  assert.equal((JSON.parse(second) as { text: string }).text, 'half a wor')
  rmSync(directory, { recursive: true })
})

test('a file turns over at its size and keeps as many as it may', () => {
  inScratch((directory) => {
    const path = join(directory, 'main.log')
    const file = new LogFile({ path, size: 10, versions: 2 })
    for (const word of ['aaaaaaa\n', 'bbbbbbb\n', 'ccccccc\n', 'ddddddd\n']) file.write(Buffer.from(word))
    file.close()
    assert.equal(readFileSync(path, 'utf8'), 'ddddddd\n')
    assert.equal(readFileSync(`${path}.0`, 'utf8'), 'ccccccc\n')
    assert.equal(readFileSync(`${path}.1`, 'utf8'), 'bbbbbbb\n')
    assert.ok(!existsSync(`${path}.2`))
  })
})

test('with no versions a file begins anew', () => {
  inScratch((directory) => {
    const path = join(directory, 'main.log')
    const file = new LogFile({ path, size: 10, versions: 0 })
    for (const word of ['aaaaaaa\n', 'bbbbbbb\n']) file.write(Buffer.from(word))
    file.close()
    assert.equal(readFileSync(path, 'utf8'), 'bbbbbbb\n')
  })
})

test('a file that was moved away is made again on reopen', () => {
  inScratch((directory) => {
    const path = join(directory, 'main.log')
    const file = new LogFile({ path, size: null, versions: 0 })
    file.write(Buffer.from('a\n'))
    renameSync(path, `${path}.old`)
    file.reopen()
    file.write(Buffer.from('b\n'))
    file.close()
    assert.equal(readFileSync(`${path}.old`, 'utf8'), 'a\n')
    assert.equal(readFileSync(path, 'utf8'), 'b\n')
  })
})

test('a file that cannot be written costs lines, counts them, and comes back by itself', () => {
  inScratch((directory) => {
    const path = join(directory, 'later', 'main.log')
    let now = 0
    const file = new LogFile({ path, size: null, versions: 0 }, () => now)
    assert.match(file.trouble, /ENOENT/)
    file.write(Buffer.from('a\nb\n'))
    assert.equal(file.dropped, 2)
    mkdirSync(join(directory, 'later'))
    now = 10_000
    file.write(Buffer.from('c\n'))
    file.close()
    const [lost = '', kept] = readFileSync(path, 'utf8').split('\n')
    assert.equal((JSON.parse(lost) as { dropped: number }).dropped, 2)
    assert.equal(kept, 'c')
    assert.equal(file.trouble, '')
  })
})

test('a full disk costs lines and nothing else', { skip: !existsSync('/dev/full') }, () => {
  const file = new LogFile({ path: '/dev/full', size: null, versions: 0 })
  file.write(Buffer.from('a\n'))
  assert.equal(file.dropped, 1)
  assert.match(file.trouble, /ENOSPC/)
})
