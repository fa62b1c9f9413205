/**
 * The tables of replies and their manual, config/replies.md, say the same: every reply has one row, every row a reply.
 * And each is heard by a client in a dialogue file, word for word; what stands in brackets behind it may be anything.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { replies as qmgrReplies } from '../../services/qmgr/replies.ts'
import { replies as resolverReplies } from '../../services/resolver/replies.ts'
import { replies as smtpdReplies } from '../../services/smtpd/replies.ts'

const tables = { smtpd: smtpdReplies, resolver: resolverReplies, qmgr: qmgrReplies }

function wordsOf({ code, enhanced, text }: { code: number; enhanced: string; text: string }): string {
  return `${code}${enhanced && ` ${enhanced}`} | ${text}`
}

const said = Object.entries(tables).flatMap(([who, table]) =>
  Object.entries(table).map(([name, reply]) => ({ name: `${who} ${name}`, words: wordsOf(reply) })),
)
const rows = [
  ...readFileSync('config/replies.md', 'utf8').matchAll(/^\| (\d{3}[^|]*?) +\| ([^|]*?) +\| /gm),
].map((match) => `${match[1]} | ${match[2]}`)

test('no two replies say the same', () => {
  const words = said.map((one) => one.words)
  assert.deepEqual(
    said.filter((one, at) => words.indexOf(one.words) !== at),
    [],
  )
})

test('every reply is in the manual', () => {
  assert.ok(said.length > 50, 'the tables are read')
  assert.deepEqual(
    said.filter((one) => !rows.includes(one.words)),
    [],
  )
})

test('the manual has no reply that nobody says, and none twice', () => {
  const words = new Set(said.map((one) => one.words))
  assert.deepEqual(
    rows.filter((row, at) => !words.has(row) || rows.indexOf(row) !== at),
    [],
  )
})

const FOLDER = 'test/dialogue'
const heard = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.txt'))
  .flatMap((name) => readFileSync(`${FOLDER}/${name}`, 'utf8').split('\n'))
  .filter((line) => line.startsWith('S: '))

/** `…` is what is filled in when it is said. */
function lineOf(words: string): RegExp {
  const [code = '', text = ''] = words.split(' | ')
  const parts = `${code} ${text}`.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^S: ${parts.join('[^*]+')}(?: \\(.+\\))?$`)
}

test('a dialogue shows every reply', () => {
  assert.ok(heard.length > 300, 'the dialogues are read')
  const silent = said.filter(({ words }) => !heard.some((line) => lineOf(words).test(line)))
  assert.deepEqual(silent, [])
})
