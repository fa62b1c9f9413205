/**
 * Posthorn at rest: how many processes there are, whose children they are, and what they cost together.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000
const MIB = 1 << 20
const MOST_IDLE = 250 * MIB

/** Proportional set size: shared pages are counted once over all processes that share them. */
function pssOf(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) * 1024
}

test('all processes together stay under 250 MiB', { timeout }, async (t) => {
  const began = performance.now()
  const posthorn = await startPosthorn({ config: testConfig, users: ['anna'] })
  t.diagnostic(`greeted on every port after ${Math.round(performance.now() - began)} ms`)
  try {
    const { content } = makeSpecimen(1000)
    const mail = { from: 'x@client.example', to: ['anna@local.example'], content }
    await sendMail(posthorn.ports['mx'] ?? 0, mail)
    await mailsIn(posthorn.maildir('anna'), 1)
    const each = [{ pid: posthorn.pid, name: 'mcp' }, ...posthorn.workers()].map(({ pid, name }) => ({
      name,
      pss: pssOf(pid),
    }))
    assert.ok(each.length >= 7, each.map((one) => one.name).join())
    const total = each.reduce((sum, one) => sum + one.pss, 0)
    t.diagnostic(each.map(({ name, pss }) => `${name} ${Math.round(pss / MIB)}`).join(', '))
    t.diagnostic(`${Math.round(total / MIB)} MiB in all`)
    assert.ok(total < MOST_IDLE)
  } finally {
    await posthorn.stop()
  }
})
