/**
 * The filters of a listener: what each session makes its own of, and what all share. `filtersOf` is asked once for
 * each config, `make` once for each session.
 */
import type { Log } from '../../../shared/base/log.ts'
import type { FilterSlice } from '../../../shared/config/filter-slice.ts'
import type { FailureRule } from './chain.ts'
import type { Filter } from './change.ts'
import { Milter } from './milter.ts'
import { Policy } from './policy.ts'
import { PolicyPool } from './policy-pool.ts'
import { Rspamd } from './rspamd.ts'

export interface FilterMaker {
  name: string
  onFailure: FailureRule
  make: () => Filter
}

export function filtersOf(slices: readonly FilterSlice[], log: Log): FilterMaker[] {
  return slices.map((slice) => ({ name: slice.name, onFailure: slice.onFailure, make: makerOf(slice, log) }))
}

function makerOf({ by, name, ...patience }: FilterSlice, log: Log): () => Filter {
  const plan = { ...patience, address: by.address }
  switch (by.kind) {
    case 'milter':
      return () => new Milter(plan)
    case 'rspamd':
      return () => new Rspamd(plan)
    case 'policy': {
      const pool = new PolicyPool(plan)
      return () => new Policy({ name, stages: by.stages }, pool, log)
    }
    default:
      return by satisfies never
  }
}
