/** The workers' log: buffered, whole, and never a reason to hang. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { build } from 'esbuild'

const timeout = 60_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-log-'))
after(() => rmSync(directory, { recursive: true, force: true }))

/** A process that runs `body` with a log named `log`. */
async function speaker(name: string, body: string) {
  const source = join(directory, `${name}.ts`)
  const outfile = join(directory, `${name}.mjs`)
  writeFileSync(
    source,
    `import { openLog } from ${JSON.stringify(resolve('shared/base/log.ts'))}\nconst log = openLog('test')\n${body}`,
  )
  await build({
    entryPoints: [source],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: { js: REQUIRE },
  })
  return spawn(process.execPath, [outfile], { stdio: ['pipe', 'pipe', 'inherit'] })
}
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

test('what is said before the end is read, in order and whole', { timeout }, async () => {
  const child = await speaker(
    'much',
    `for (let n = 0; n < 5000; n++) log.info({ n, text: 'ü'.repeat(100) }, 'line')\nprocess.exit(0)`,
  )
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  await once(child, 'close')
  const lines = text.trimEnd().split('\n')
  assert.equal(lines.length, 5000)
  for (const [n, line] of lines.entries()) assert.equal((JSON.parse(line) as { n: number }).n, n)
  assert.ok(
    lines.every((line) => line.startsWith('{"level":"info"')),
    'the level stands first',
  )
})

test('a reader that has gone does not keep the process from its end', { timeout }, async () => {
  const child = await speaker(
    'orphan',
    `process.stdin.resume().once('end', () => { log.error({}, 'to nobody'); log.info({}, 'nor this'); process.exit(7) })`,
  )
  child.stdout.destroy()
  child.stdin.end()
  const [code] = (await once(child, 'exit')) as [number | null]
  assert.equal(code, 7)
})
