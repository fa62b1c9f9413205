/** nodemailer's SMTPConnection still has the insides that `engine.ts` holds on to. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import type { EngineInside } from '../../services/smtpc/engine.ts'

test('the pinned engine has the members that are used', () => {
  const pinned = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> }
  const installed = JSON.parse(readFileSync('node_modules/nodemailer/package.json', 'utf8')) as {
    version: string
  }
  assert.equal(pinned.dependencies['nodemailer'], installed.version)
  const engine = new SMTPConnection({ logger: false }) as unknown as EngineInside
  assert.equal(engine._remainder, '')
  assert.deepEqual(engine._responseQueue, [])
  for (const name of [
    '_onSocketData',
    '_onSocketError',
    '_onSocketClose',
    '_onSocketEnd',
    '_onSocketTimeout',
    '_actionGreeting',
    '_upgradeConnection',
    'close',
    'connect',
  ] as const) {
    assert.equal(typeof engine[name], 'function', name)
  }
})
