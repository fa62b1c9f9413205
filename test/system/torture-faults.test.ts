/** System calls of the running qmgr fail for a while: 4xx to clients, nothing lost, nothing twice, no restart. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faults, inflict } from '../torture/fault-rig.ts'
import { findStrace } from '../torture/recording.ts'

const timeout = 180_000
const strace = findStrace()

for (const fault of faults) {
  const needed = fault.inject.length > 0 && strace === null
  const skip = needed ? 'no strace here: no fault was injected' : false
  test(fault.name, { timeout, skip }, async (t) => {
    const { heard, verdict, ...rest } = await inflict(fault, strace)
    t.diagnostic(`${verdict.promised} promised; heard: ${heard.join(' | ')}`)
    // Whether a fault hits a client while it lasts depends on the machine; the table of `npm run torture` tells.
    const expected = { name: fault.name, hard: [], felt: rest.felt, restarted: [], refusedButArrived: 0 }
    assert.deepEqual(rest, expected)
    const { promised, ...found } = verdict
    assert.deepEqual(found, {
      lost: [],
      duplicates: 0,
      doubleBounced: [],
      corrupted: 0,
      strays: [],
      wronglyBounced: [],
    })
    assert.ok(promised > 0)
  })
}
