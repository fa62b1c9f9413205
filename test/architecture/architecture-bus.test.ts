/**
 * Every message between processes has somebody who sends it and somebody who takes it, in the code of the roles
 * that the table of messages names.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { busMessages, lifeMessages, type Role } from '../../shared/bus/messages.ts'
import { sourceFiles } from '../support/source-tree.ts'

const files = sourceFiles(['services', 'commands', 'shared'])

/** All code that may run as that role. `hello` is said in shared/bus, the life channel is kept in shared/runtime. */
function codeOf(role: Role): string {
  const home = role === 'command' ? 'commands/' : `services/${role}/`
  const bus = /^shared\/(bus\/(peer|link|hub)|runtime\/)/
  return files
    .filter((file) => file.path.startsWith(home) || bus.test(file.path))
    .map((file) => file.lines.join('\n'))
    .join('\n')
}

const tables = { ...busMessages, ...lifeMessages }

function sends(role: Role, name: string): boolean {
  const call = `\\.?#?(send|request|tell|tellMcp|ask|post)\\w*\\(\\s*([\\w.#]+,\\s*)?'${name}'`
  return new RegExp(`${call}|name: '${name}'`).test(codeOf(role))
}

function takes(role: Role, name: string): boolean {
  const handler = `(^|[{,\\s])(async )?['"]?${name}['"]?\\s*(:|\\()`
  return new RegExp(`${handler}|case '${name}'|=== '${name}'`, 'm').test(codeOf(role))
}

test('every message has a sender in each role that may send it', () => {
  const silent = Object.entries(tables).flatMap(([name, message]) =>
    message.from.filter((role) => !sends(role, name)).map((role) => `${role} never sends ${name}`),
  )
  assert.deepEqual(silent, [])
})

test('every message has a receiver in each role that may take it', () => {
  const deaf = Object.entries(tables).flatMap(([name, message]) =>
    message.to.filter((role) => !takes(role, name)).map((role) => `${role} never takes ${name}`),
  )
  assert.deepEqual(deaf, [])
})
