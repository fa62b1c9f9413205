/**
 * Configurations as files: each broken one in `bad/` has beside it the exact text that `posthorn check` prints;
 * those in `good/`, the shipped one and the examples must check without an error. To add a case: a `.conf` and, when
 * it is meant to be broken, the text in an `.expected` that a person has read and found helpful.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { checkCommand, loadConfig, type Overrides, printProblems } from '../../shared/config/check.ts'

const TIMEOUT_MS = 60_000

/** A machine of our own making, so that every machine prints the same. */
const machine: Overrides = {
  asCaller: true,
  uid: 1000,
  gid: 1000,
  hostname: 'test.example.org',
  interfaces: ['127.0.0.1/8', '::1/128', '192.0.2.7/24'],
  accounts: { user: () => null, group: () => null, nameOf: () => null },
}

function configsIn(directory: string): string[] {
  return readdirSync(directory).filter((name) => name.endsWith('.conf'))
}

const broken = configsIn('test/config/bad')

test('there are enough broken configs to mean something', { timeout: TIMEOUT_MS }, () => {
  assert.ok(broken.length >= 25, `${broken.length} broken configs`)
})

for (const name of broken) {
  test(`bad: ${name}`, { timeout: TIMEOUT_MS }, () => {
    const { output, exit } = checkCommand(`test/config/bad/${name}`, machine)
    assert.equal(output, readFileSync(`test/config/bad/${name.replace(/\.conf$/, '.expected')}`, 'utf8'))
    assert.equal(exit, 1)
  })
}

for (const name of configsIn('test/config/good')) {
  test(`good: ${name}`, { timeout: TIMEOUT_MS }, () => {
    const { output, exit } = checkCommand(`test/config/good/${name}`, machine)
    assert.match(output, /^test\/config\/good\/.*: good, \d+ listeners?, \d+ zones?\n$/)
    assert.equal(exit, 0)
  })
}

test('shipped: without a word, and at most 30 lines', { timeout: TIMEOUT_MS }, () => {
  const { output, exit } = checkCommand('config/posthorn.conf', machine)
  assert.equal(output, 'config/posthorn.conf: good, 3 listeners, 1 zone\n')
  assert.equal(exit, 0)
  assert.ok(readFileSync('config/posthorn.conf', 'utf8').trimEnd().split('\n').length <= 30)
})

test('shipped: loopback only, relays for nobody else', { timeout: TIMEOUT_MS }, () => {
  const checked = loadConfig('config/posthorn.conf', machine)
  assert.ok(checked.kind === 'ok')
  for (const { endpoint } of checked.slices.mcp.listeners) {
    if (endpoint.kind === 'tcp') assert.equal(endpoint.address, '127.0.0.1')
  }
  assert.deepEqual(
    checked.slices.resolver.zones.map(({ type }) => type),
    ['local'],
  )
})

for (const name of [...configsIn('config/examples'), 'vps-with-dovecot/posthorn.conf']) {
  test(`example: ${name}`, { timeout: TIMEOUT_MS }, () => {
    const checked = loadConfig(`config/examples/${name}`, { ...machine, readable: () => 'yes' })
    assert.equal(printProblems(checked.kind === 'ok' ? checked.warnings : checked.problems), '')
  })
}
