/**
 * Programs of other projects that tests talk to: taken from the machine where they are installed, otherwise
 * unpacked from Debian's packages into a cache folder of the checkout, never installed, never started as a service.
 *
 * Fails: `null` where neither works; the test then skips, loudly.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

export interface Programs {
  /** To run them with: PATH and library path set. */
  env: NodeJS.ProcessEnv
  /** Where a program stands, or null. */
  find: (program: string) => string | null
  /** The root of the unpacked tree. */
  folder: string
}

const CACHE = 'dist/debian'

export function debianPrograms(...packages: string[]): Programs | null {
  const folder = resolve(CACHE, packages.join('-'))
  const script = resolve('test/support/install-debian.sh')
  const made = spawnSync(script, [folder, ...packages], { encoding: 'utf8', timeout: 360_000 })
  if (made.status !== 0) {
    process.stderr.write(`\n!!! ${packages.join(', ')} cannot be had here: ${made.stderr}\n`)
    return null
  }
  const shown = spawnSync('bash', ['-c', `. ${folder}/env.sh && echo "$PATH" && echo "$LD_LIBRARY_PATH"`], {
    encoding: 'utf8',
  })
  const [path = '', libraries = ''] = shown.stdout.split('\n')
  const find = (program: string) => {
    const found = path.split(':').map((part) => join(part, program))
    return found.find((file) => existsSync(file)) ?? null
  }
  return { folder, find, env: { ...process.env, PATH: path, LD_LIBRARY_PATH: libraries } }
}
