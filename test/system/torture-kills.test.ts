/** 100 kills of any process and of all at once, also during recovery. More of them: `npm run torture -- --kills N`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { killAround } from '../torture/kill-rig.ts'

const KILLS = 100
const timeout = 380_000

test(`${KILLS} kills, also while others recover`, { timeout }, async (t) => {
  const seed = Date.now() % 1_000_000
  const { verdict, victims } = await killAround({ kills: KILLS, seed })
  const { promised, duplicates, ...rest } = verdict
  const counts = [...victims].map(([name, count]) => `${name} ${count}`).join(', ')
  t.diagnostic(`seed ${seed}: ${promised} promised, ${duplicates} duplicates; killed: ${counts}`)
  assert.deepEqual(rest, { lost: [], doubleBounced: [], corrupted: 0, strays: [], wronglyBounced: [] })
  assert.ok(promised > KILLS)
})
