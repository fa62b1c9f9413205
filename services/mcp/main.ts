/**
 * The process that `posthorn start` becomes: reads the words of the command line and runs mcp until it stops.
 *
 *     -c FILE, --config FILE    the config; /etc/posthorn/posthorn.conf by default
 *     --directory DIR           instead of the config's directory, with `run` in it
 *     --as-caller               all processes stay who calls, even root; for development
 *     --background              leave the terminal; the caller waits until all is up
 *
 * Other words are `posthorn`'s own and none of our business: it has checked them.
 */
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runMcp } from './mcp.ts'

// What workers log passes through here and is garbage at once: the young generation need not grow for it, 20 MiB.
setFlagsFromString('--semi-space-growth-factor=1')

const DEFAULT_CONFIG = '/etc/posthorn/posthorn.conf'

const { values } = parseArgs({
  args: process.argv.slice(2),
  strict: false,
  allowPositionals: true,
  options: {
    config: { type: 'string', short: 'c' },
    directory: { type: 'string' },
    'as-caller': { type: 'boolean' },
    background: { type: 'boolean' },
  },
})
const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
const directory = text(values['directory'])

process.exit(
  await runMcp({
    configFile: resolve(text(values['config']) ?? DEFAULT_CONFIG),
    ...(directory === undefined ? {} : { directory: resolve(directory) }),
    asCaller: values['as-caller'] === true,
    background: values['background'] === true,
    services: resolve(dirname(fileURLToPath(import.meta.url)), '..'),
  }),
)
