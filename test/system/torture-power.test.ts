/**
 * The power cut at 200 of qmgr's calls, and the proof that the rig would see a lost message. All calls:
 * `npm run torture`.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutPower } from '../torture/power-rig.ts'
import { findStrace } from '../torture/recording.ts'

const timeout = 300_000
const SEED = 20_260
const strace = findStrace()
const skip = strace === null ? 'no strace here: no power was cut' : false
const plan = { strace: strace ?? '', seed: SEED, messages: 60 }

test('200 power cuts: everything acknowledged is there and intact', { timeout, skip }, async (t) => {
  const { calls, cuts, disks, accepted, ...found } = await cutPower({ ...plan, cuts: 200 })
  t.diagnostic(`seed ${SEED}: ${cuts} cuts at ${calls} calls, ${disks} disks, ${accepted} messages`)
  assert.deepEqual(found, { lost: 0, corrupted: 0, doubleBounced: 0, examples: [] })
  assert.ok(cuts === 200 && disks > cuts && accepted > 20)
})

test('without a sync at each commit the rig finds losses', { timeout, skip }, async () => {
  const { lost } = await cutPower({ ...plan, cuts: 60, forgetful: true })
  assert.ok(lost > 0, 'nothing was lost: the rig proves nothing')
})
