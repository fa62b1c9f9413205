/**
 * Header fields and tag lists as DKIM reads them: RFC 6376 sections 3.2, 3.4 and 5.4.2.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readTags } from '../../services/smtpd/signature/tags.ts'
import {
  canonicalField,
  fieldValue,
  readFields,
  selectFields,
  signedHeader,
} from '../../shared/dkim/fields.ts'

const HEADER = 'A: X\r\nB : Y\t\r\n\tZ  \r\nno field\r\na: second\r\n'
const fields = readFields(HEADER)

test('fields are found, folded ones whole, what is none is passed over', () => {
  assert.deepEqual(
    fields.map(({ name, raw }) => [name, raw]),
    [
      ['a', 'A: X\r\n'],
      ['b', 'B : Y\t\r\n\tZ  \r\n'],
      ['a', 'a: second\r\n'],
    ],
  )
  assert.deepEqual(fields.map(fieldValue), ['X', 'Y\t\tZ', 'second'])
})

test('the example of RFC 6376 section 3.4.5', () => {
  const how = (canonicalization: 'simple' | 'relaxed') =>
    fields
      .slice(0, 2)
      .map((field) => canonicalField(field, canonicalization))
      .join('')
  assert.equal(how('relaxed'), 'a:X\r\nb:Y Z\r\n')
  assert.equal(how('simple'), 'A: X\r\nB : Y\t\r\n\tZ  \r\n')
})

test('a name takes fields from the bottom up, and nothing when none is left', () => {
  const chosen = selectFields(fields, ['a', 'a', 'a', 'b', 'c'])
  assert.deepEqual(chosen.map(fieldValue), ['second', 'X', 'Y\t\tZ'])
})

test('the signature is signed with nothing in b=, wherever that stands', () => {
  const sign = (raw: string, how: 'simple' | 'relaxed') =>
    String(signedHeader([], [], { name: 'dkim-signature', raw: `DKIM-Signature: ${raw}\r\n` }, how))
  assert.equal(sign('v=1; b=ab\r\n\tcd; bh=xyz', 'simple'), 'DKIM-Signature: v=1; b=; bh=xyz')
  assert.equal(sign('bh=xyz;\r\n b = abcd', 'simple'), 'DKIM-Signature: bh=xyz;\r\n b =')
  assert.equal(sign('bh=x;\r\n b=abcd\r\n ef', 'relaxed'), 'dkim-signature:bh=x; b=')
  assert.equal(sign('b=abcd', 'relaxed'), 'dkim-signature:b=')
})

test('tag lists', () => {
  assert.deepEqual(
    [...(readTags(' v=1 ; a = x y;\tp=;') ?? [])],
    [
      ['v', '1'],
      ['a', 'x y'],
      ['p', ''],
    ],
  )
  for (const bad of ['v=1; v=2', 'v', '=x', 'v=1;;a=b', '1=x']) {
    assert.equal(readTags(bad), null, bad)
  }
})
