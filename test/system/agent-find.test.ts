/** `posthorn account find`: an account from the SRV records of a domain, and what it says where there are none. */
import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { readServices } from '../../commands/accounts/discovery.ts'
import { record, type Script, startNameServer } from '../support/name-server.ts'
import { runProgram } from '../support/posthorn.ts'

const timeout = 120_000
const COMMAND = resolve('dist/commands/posthorn.js')
const at = (domain: string, s = '') => `_submission${s}._tcp.${domain}`

const scripts: Record<string, Script> = {
  [`SRV ${at('good.test', 's')}`]: {
    answers: [
      record.srv(at('good.test', 's'), [20, 0, 465], 'second.good.test'),
      record.srv(at('good.test', 's'), [10, 1, 465], 'first.good.test'),
    ],
  },
  [`SRV ${at('good.test')}`]: { answers: [record.srv(at('good.test'), [0, 0, 587], 'smtp.good.test')] },
  [`SRV ${at('other.test')}`]: { answers: [record.srv(at('other.test'), [0, 0, 587], 'mx.provider.test')] },
  [`SRV ${at('none.test')}`]: { answers: [record.srv(at('none.test'), [0, 0, 0], '')] },
  [`SRV ${at('broken.test')}`]: { rcode: 2 },
}

const cases: [address: string, code: number, expected: RegExp][] = [
  [
    'ann@good.test',
    0,
    /^account "good.test" \{\n {4}from "ann@good.test";\n {4}host "first.good.test" port 465;\n {4}tls implicit;\n/,
  ],
  ['ann@good.test', 0, /\/\/ or: host "smtp.good.test" port 587; tls starttls;/],
  [
    'ann@other.test',
    0,
    /^\/\/ mx.provider.test is not in other.test, .*\n.*\n.*\n {4}host "mx.provider.test" port 587;/,
  ],
  ['ann@none.test', 66, /none.test says that it takes no mail/],
  ['ann@gone.test', 66, /gone.test says nothing/],
  ['ann@broken.test', 75, /broken.test cannot be looked up/],
  ['ann', 64, /ann is no address in a domain/],
]

test('account find', { timeout }, async (t) => {
  const server = await startNameServer(scripts)
  t.after(() => server.close())
  for (const [address, code, expected] of cases) {
    const words = ['account', 'find', address, '--name-server', server.address]
    const result = await runProgram(COMMAND, words, '')
    assert.match(result.stdout + result.stderr, expected)
    assert.equal(result.code, code)
  }
})

test('TLS comes before STARTTLS, then priority, then weight', () => {
  const one = (name: string, priority: number, weight: number) => ({ name, priority, weight, port: 1 })
  const found = readServices([[one('b', 2, 0), one('a', 1, 1), one('A2', 1, 9)], [one('c', 0, 0)]])
  assert.deepEqual(found.kind === 'found' && found.services.map(({ host }) => host), ['a2', 'a', 'b', 'c'])
  assert.equal(readServices([[], []]).kind, 'silent')
  assert.equal(readServices([[one('', 0, 0)], []]).kind, 'refused')
})
