/** Connections to one group: never more than its terms allow, those on their way included. */
import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { Companies, type Terms } from '../../services/smtpc/company.ts'
import type { Connection } from '../../services/smtpc/connection.ts'

const terms = { group: 'provider', most: 3 }

/** As much of a connection as is looked at. */
function connectionWith(name: string, idle: boolean, of: Terms = terms): Connection {
  return { name, idle, terms: of } as unknown as Connection
}

describe('company', () => {
  let dismissed: unknown[] = []
  let companies: Companies
  const join = (name: string, idle: boolean, of?: Terms) => {
    const connection = connectionWith(name, idle, of)
    companies.joined(connection)
    return connection
  }
  beforeEach(() => {
    dismissed = []
    companies = new Companies((connection) =>
      dismissed.push((connection as unknown as { name: string }).name),
    )
  })

  it('sends the oldest idle ones away when one more is dialled, and none that is at work', () => {
    join('at work', false)
    join('older', true)
    join('younger', true)
    join('of another', true, { group: 'other', most: 1 })
    companies.reserve(terms)
    assert.deepEqual(dismissed, ['older'])
    companies.reserve(terms)
    companies.reserve(terms)
    assert.deepEqual(dismissed, ['older', 'younger'])
  })

  it('counts one that is dialled until its place is free', () => {
    const place = companies.reserve(terms)
    const here = join('here', true)
    join('there', true)
    assert.equal(companies.isCrowded(here), false)
    const more = companies.reserve(terms)
    assert.deepEqual(dismissed, ['here'])
    place?.free()
    more?.free()
    companies.reserve(terms)
    assert.deepEqual(dismissed, ['here'])
  })

  it('does not keep more than the terms of today', () => {
    const one = join('one', true, { ...terms, most: 1 })
    assert.equal(companies.isCrowded(one), false)
    join('two', false)
    assert.equal(companies.isCrowded(one), true)
    companies.left(one)
    companies.left(one)
    const three = join('three', true, { ...terms, most: 2 })
    assert.equal(companies.isCrowded(three), false)
  })

  it('leaves alone what has no terms', () => {
    assert.equal(companies.reserve(undefined), null)
    const free = join('free', true, undefined)
    free.terms = undefined
    assert.equal(companies.isCrowded(free), false)
  })
})
