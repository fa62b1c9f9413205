/**
 * What rspamd answers by HTTP (`/checkv2`): a JSON object with an action, and in `milter` what its milter would have
 * changed. Pure. rspamd's protocol documentation is the standard, its proxy worker the model of what each part means.
 *
 * `greylist` is no refusal: rspamd's own greylisting says `soft reject` while it wants one. Fails: FilterTrouble for
 * what is no answer; a part of it that makes no sense is left out.
 */
import type { SmtpReply } from '../../../shared/smtp/reply.ts'
import { replies } from '../replies.ts'
import { type Change, CONTINUE, FilterTrouble, type Finding, type Word } from './change.ts'
import type { Field } from './header.ts'
import { makeReply, printable } from './milter-reply.ts'

type Json = Readonly<Record<string, unknown>>

/** @param fields as rspamd was shown them. */
export function readAnswer(text: string, fields: readonly Field[]): Finding {
  const answer = objectIn(text)
  const action = answer['action']
  if (typeof action !== 'string') throw new FilterTrouble('an answer without an action')
  const milter = objectOf(answer['milter'])
  const { word, changes } = byAction(action, answer, milter)
  if (word.kind !== 'continue') return { word, changes: [] }
  return { word, changes: [...byMilter(milter, fields), ...signatures(answer), ...changes] }
}

function objectIn(text: string): Json {
  try {
    return objectOf(JSON.parse(text))
  } catch {
    throw new FilterTrouble('an answer that is no JSON')
  }
}

function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
}

function byAction(action: string, answer: Json, milter: Json): Finding {
  if (milter['no_action'] === true) return goOn()
  switch (action) {
    case 'reject':
      return rejected(answer, milter)
    case 'soft reject':
      return plainly({ kind: 'refuse', reply: worded(replies.filterDeferred, answer) })
    case 'discard':
      return plainly({ kind: 'discard' })
    case 'quarantine':
      return goOn({ kind: 'hold', reason: 'rspamd: quarantine' })
    case 'add header':
      return goOn({ kind: 'add-field', name: markOf(milter), value: ' Yes' })
    case 'rewrite subject':
      return goOn(...subjectOf(answer))
    default:
      // `no action`, `greylist`, and what the administrator of rspamd has made up
      return goOn()
  }
}

function plainly(word: Word): Finding {
  return { word, changes: [] }
}

function goOn(...changes: Change[]): Finding {
  return { word: CONTINUE, changes }
}

function rejected(answer: Json, milter: Json): Finding {
  if (milter['reject'] === 'discard') return plainly({ kind: 'discard' })
  if (milter['reject'] === 'quarantine') return goOn({ kind: 'hold', reason: 'rspamd: reject' })
  return plainly({ kind: 'refuse', reply: worded(replies.filterRejected, answer) })
}

function worded(usual: SmtpReply, answer: Json): SmtpReply {
  const text = objectOf(answer['messages'])['smtp_message']
  if (typeof text !== 'string' || text === '') return usual
  const [, enhanced = '', words = ''] = /^(?:[45]\d\d )?(?:([45]\.\d{1,3}\.\d{1,3}) )?(.*)$/s.exec(text) ?? []
  return makeReply(usual.code, enhanced, printable(words))
}

function markOf(milter: Json): string {
  const named = milter['spam_header']
  return typeof named === 'string' && named !== '' ? named : 'X-Spam'
}

function subjectOf({ subject }: Json): Change[] {
  if (typeof subject !== 'string' || subject === '') return []
  return [{ kind: 'change-field', index: 1, name: 'Subject', value: spaced(subject) }]
}

function signatures(answer: Json): Change[] {
  return listOf(answer['dkim-signature']).flatMap((one): Change[] =>
    typeof one === 'string'
      ? [{ kind: 'insert-field', index: 1, name: 'DKIM-Signature', value: spaced(one) }]
      : [],
  )
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : value === undefined || value === null ? [] : [value]
}

/** Values are octets here, one a character, and begin behind the colon. */
function spaced(text: string): string {
  return ` ${Buffer.from(text.trimStart()).toString('latin1')}`
}

function byMilter(milter: Json, fields: readonly Field[]): Change[] {
  const { change_from: from } = milter
  return [
    ...Object.entries(objectOf(milter['remove_headers'])).flatMap(([name, which]) =>
      removals(name, which, fields),
    ),
    ...additions(objectOf(milter['add_headers']), fields.length),
    ...(typeof from === 'string' ? [{ kind: 'sender', address: bare(from) } as const] : []),
    ...addresses(milter['add_rcpt']).map((address): Change => {
      return { kind: 'add-recipient', address, parameters: '' }
    }),
    ...addresses(milter['del_rcpt']).map((address): Change => ({ kind: 'remove-recipient', address })),
  ]
}

function addresses(value: unknown): string[] {
  return listOf(value).flatMap((one) => (typeof one === 'string' ? [bare(one)] : []))
}

function bare(address: string): string {
  return /^<(.*)>$/s.exec(address)?.[1] ?? address
}

/** 0: all of that name; from 1 on: that one; below: counted from the end. The last one goes first. */
function removals(name: string, which: unknown, fields: readonly Field[]): Change[] {
  const wanted = name.toLowerCase()
  const there = fields.filter((field) => field.name.toLowerCase() === wanted).length
  const one = (index: number): Change => ({ kind: 'change-field', index, name, value: '' })
  const indexes = listOf(which).flatMap((at) => {
    if (typeof at !== 'number' || !Number.isInteger(at)) return []
    if (at === 0) return Array.from({ length: there }, (_, n) => n + 1)
    return [at > 0 ? at : there + at + 1]
  })
  const good = [...new Set(indexes)].filter((index) => index >= 1 && index <= there)
  return good.sort((a, b) => b - a).map(one)
}

interface Addition {
  name: string
  value: string
  order: number
}

function additions(added: Json, count: number): Change[] {
  const all = Object.entries(added).flatMap(([name, values]) =>
    listOf(values).flatMap((value) => additionOf(name, value) ?? []),
  )
  return all
    .sort((a, b) => a.order - b.order)
    .map(({ name, value, order }): Change => {
      if (order === -1) return { kind: 'add-field', name, value: spaced(value) }
      const index = order < 0 ? Math.max(0, count + order + 1) : order
      return { kind: 'insert-field', index, name, value: spaced(value) }
    })
}

function additionOf(name: string, said: unknown): Addition | null {
  if (typeof said === 'string') return { name, value: said, order: -1 }
  const { value, order = -1 } = objectOf(said)
  if (typeof value !== 'string' || typeof order !== 'number' || !Number.isInteger(order)) return null
  return { name, value, order }
}
