/** When a resource counts as short, as qmgr is told of it; see `slices.ts`. */

/** Marks of a resource: where sessions wait, where mail is refused, where all is as before. */
export interface Marks {
  wait: number
  refuse: number
  relief: number
}

/** Shares are ratios: of the option in `qmgr` of the like name. */
export interface ThrottleSlice {
  activeEntries: Marks
  activeSize: Marks
  sessions: Marks
  /** Messages in a second. */
  intakeRate: Marks
  memory: Marks
  diskSpace: Marks
  inodes: Marks
  lag: Marks
  longestWait: number
}
