/**
 * A small file system in memory for a spool, and how to fill it. Needs root to mount it.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A directory whose spool is a tmpfs of 24 MiB, or why there is none. */
export function smallDisk(): { directory: string; spool: string; unmount: () => void } | string {
  if (process.getuid?.() !== 0) return 'only root can mount a small file system'
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-full-'))
  const spool = join(directory, 'spool')
  mkdirSync(spool)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=0700', 'tmpfs', spool], {
    encoding: 'utf8',
  })
  if (mounted.status !== 0) {
    rmSync(directory, { recursive: true })
    return `no tmpfs here: ${mounted.stderr.trim()}`
  }
  return { directory, spool, unmount: () => spawnSync('umount', [spool]) }
}

/** Fills what is left, but for `spare` octets. The server writes too meanwhile, so it may be full a little sooner. */
export function fill(spool: string, spare: number): void {
  const { bavail, bsize } = statfsSync(spool)
  try {
    writeFileSync(join(spool, 'ballast'), Buffer.alloc(Math.max(0, bavail * bsize - spare)))
  } catch (error) {
    assert.match(String(error), /ENOSPC/)
  }
}
