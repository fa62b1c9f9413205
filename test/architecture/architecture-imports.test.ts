/**
 * Who may import whom. A service knows itself and shared; shared knows only what lies below; native calls and
 * child processes have one home each.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { at, type SourceFile, sourceFiles, unitOf } from '../support/source-tree.ts'

const files = sourceFiles()

/** Each may import itself and what stands here. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  'shared/base': [],
  'shared/system': ['base'],
  'shared/disk': ['base'],
  'shared/net': ['base'],
  'shared/smtp': ['base', 'disk', 'net'],
  'shared/message': ['base', 'disk', 'net'],
  'shared/dkim': ['base'],
  'shared/bus': ['base', 'disk', 'net', 'smtp', 'message'],
  'shared/smtp-client': ['base', 'smtp', 'message', 'bus'],
  'shared/config': ['base', 'disk', 'net', 'smtp', 'message', 'bus'],
  'shared/auth': ['base', 'smtp', 'system', 'config'],
  'shared/runtime': ['base', 'disk', 'net', 'smtp', 'message', 'bus', 'config', 'system'],
}

function breaks(rule: (file: SourceFile, target: string) => boolean): string[] {
  return files.flatMap((file) =>
    file.imports.filter((one) => rule(file, one.target)).map((one) => at(file, one.line, one.target)),
  )
}

test('a service imports itself and shared, nothing else of ours', () => {
  const found = breaks((file, target) => {
    const unit = unitOf(file.path)
    return unit.startsWith('services/') && target.startsWith('services/') && unitOf(target) !== unit
  })
  assert.deepEqual(found, [])
})

test('shared and services import neither commands nor tests, commands no service', () => {
  const found = breaks((file, target) => {
    if (file.path.startsWith('test/')) return false
    if (file.path.startsWith('commands/')) return /^(services|test)\//.test(target) && target.endsWith('.ts')
    return /^(commands|test)\//.test(target)
  })
  assert.deepEqual(found, [])
})

test('shared imports downwards only', () => {
  const found = breaks((file, target) => {
    const unit = unitOf(file.path)
    if (!unit.startsWith('shared/')) return false
    if (target.startsWith('services/')) return true
    const allowed = BELOW[unit]
    assert.ok(allowed, `${unit} is not in the table of layers`)
    return (
      target.startsWith('shared/') && unitOf(target) !== unit && !allowed.includes(unitOf(target).slice(7))
    )
  })
  assert.deepEqual(found, [])
})

test('native calls live in shared/system', () => {
  const found = files
    .filter((file) => !file.path.startsWith('shared/system/') && !file.path.startsWith('test/'))
    .flatMap((file) =>
      file.lines.flatMap((line, n) => (/['"(]koffi['")]/.test(line) ? [at(file, n + 1, line.trim())] : [])),
    )
  assert.deepEqual(found, [])
})

test('child processes are made in one file of mcp and one of lda', () => {
  const makers = files.filter(
    (file) =>
      /^(services|shared)\//.test(file.path) &&
      file.imports.some((one) => one.target === 'node:child_process'),
  )
  const allowed = ['services/mcp', 'services/lda']
  const counts = new Map<string, string[]>()
  for (const { path } of makers) counts.set(unitOf(path), [...(counts.get(unitOf(path)) ?? []), path])
  for (const [unit, paths] of counts) {
    assert.ok(allowed.includes(unit), `${paths.join(', ')} may not make processes`)
    assert.equal(paths.length, 1, `${paths.join(' and ')}: one of them is enough`)
  }
})

test('every package imported is a dependency, and every dependency is imported', () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    dependencies: Record<string, string>
    devDependencies: Record<string, string>
  }
  const shipped = new Set<string>()
  const used = files.flatMap((file) => file.imports.map((one) => ({ ...one, file })))
  for (const one of used) {
    if (one.ours || one.target.startsWith('node:')) continue
    const name = /^(@[^/]+\/)?[^/]+/.exec(one.target)?.[0] ?? ''
    const product = !one.file.path.startsWith('test/')
    const known = name in dependencies || (!product && name in devDependencies)
    assert.ok(known, at(one.file, one.line, `${name} is not in package.json for this`))
    shipped.add(name)
  }
  const forTheBuild = ['esbuild']
  const idle = Object.keys(dependencies).filter((name) => !shipped.has(name) && !forTheBuild.includes(name))
  assert.deepEqual(idle, [])
})

test('a module of shared has more than one user, but for the native calls, which have one home', () => {
  const users = new Map<string, Set<string>>()
  for (const file of files) {
    const unit = unitOf(file.path)
    if (unit === 'test') continue
    for (const one of file.imports) {
      if (!one.target.startsWith('shared/')) continue
      const known = users.get(one.target) ?? new Set()
      users.set(one.target, known.add(unit.startsWith('shared/') ? file.path : unit))
    }
  }
  const lonely = files
    .filter((file) => file.path.startsWith('shared/') && !file.path.startsWith('shared/system/'))
    .map(({ path }) => ({ path, by: [...(users.get(path) ?? [])] }))
    .filter(({ by }) => by.length === 0 || (by.length === 1 && !by[0]?.startsWith('shared/')))
    .map(({ path, by }) => `${path}: used by ${by[0] ?? 'nobody'} only`)
  assert.deepEqual(lonely, [])
})
