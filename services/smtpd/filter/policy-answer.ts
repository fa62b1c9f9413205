/**
 * What a policy server answers: attributes, of which `action` counts, with the words of Postfix's access(5). Pure.
 *
 * OK and DUNNO come to the same: our own rules have been asked before, and other filters still are. FILTER and what
 * would ask restrictions of Postfix's is not for us. Fails: FilterTrouble for what is no answer.
 */
import type { SmtpReply } from '../../../shared/smtp/reply.ts'
import { replies } from '../replies.ts'
import { type Change, CONTINUE, FilterTrouble, type Word } from './change.ts'
import { makeField } from './header.ts'
import { makeReply, printable } from './milter-reply.ts'

/** `note`: words for our log. `redirect`: everybody's copy goes there instead. */
export interface PolicyAnswer {
  word: Word
  change?: Change
  redirect?: string
  note?: { text: string; odd: boolean }
}

const LARGEST = 64 << 10

/** The value of `action` of each answer, as answers become whole. */
export class ActionReader {
  #text = ''

  push(chunk: Buffer): string[] {
    // the end of an answer may stand across two reads
    const from = Math.max(0, this.#text.length - 2)
    this.#text += chunk.toString('latin1')
    const actions: string[] = []
    let begin = 0
    for (let end = this.#text.indexOf('\n\n', from); end >= 0; end = this.#text.indexOf('\n\n', begin)) {
      actions.push(actionIn(this.#text.slice(begin, end)))
      begin = end + 2
    }
    this.#text = this.#text.slice(begin)
    if (this.#text.length > LARGEST) throw new FilterTrouble('an answer without an end')
    return actions
  }
}

function actionIn(answer: string): string {
  const line = answer.split('\n').find((one) => /^action[ \t]*=/i.test(one))
  if (line === undefined) throw new FilterTrouble('an answer without an action')
  return Buffer.from(line.slice(line.indexOf('=') + 1), 'latin1')
    .toString('utf8')
    .trim()
}

export function readAction(action: string): PolicyAnswer {
  const [, first = '', rest = ''] = /^(\S+)\s*(.*)$/s.exec(action) ?? []
  const word = first.toUpperCase()
  if (/^[45]\d\d$/.test(word)) return { word: { kind: 'refuse', reply: readReply(Number(word), rest) } }
  // access(5): a number alone permits, as OK does
  if (/^\d+$/.test(word)) return { word: CONTINUE }
  const read = words[word]
  if (!read) throw new FilterTrouble(`\`${printable(first).slice(0, 40)}\` is no action that we know`)
  return read(rest)
}

const words: Readonly<Record<string, (rest: string) => PolicyAnswer>> = {
  OK: () => ({ word: CONTINUE }),
  PERMIT: () => ({ word: CONTINUE }),
  DUNNO: () => ({ word: CONTINUE }),
  REJECT: (rest) => refusing('refuse', replies.filterRejected, rest),
  DEFER: (rest) => refusing('refuse', replies.filterDeferred, rest),
  DEFER_IF_PERMIT: (rest) => refusing('defer', replies.filterDeferred, rest),
  DEFER_IF_REJECT: (rest) => refusing('soften', replies.filterDeferred, rest),
  DISCARD: (rest) => ({ word: { kind: 'discard' }, ...(rest && { note: noteOf(rest, false) }) }),
  HOLD: (rest) => ({ word: CONTINUE, change: { kind: 'hold', reason: printable(rest) } }),
  PREPEND: (rest) => ({ word: CONTINUE, change: fieldOf(rest) }),
  BCC: (rest) => ({
    word: CONTINUE,
    change: { kind: 'add-recipient', address: addressIn(rest), parameters: 'NOTIFY=NEVER' },
  }),
  REDIRECT: (rest) => ({ word: CONTINUE, redirect: addressIn(rest) }),
  WARN: (rest) => ({ word: CONTINUE, note: noteOf(rest, true) }),
  INFO: (rest) => ({ word: CONTINUE, note: noteOf(rest, false) }),
}

function noteOf(text: string, odd: boolean): { text: string; odd: boolean } {
  return { text: printable(text), odd }
}

function refusing(kind: 'refuse' | 'defer' | 'soften', usual: SmtpReply, text: string): PolicyAnswer {
  if (text === '') return { word: { kind, reply: usual } }
  return { word: { kind, reply: readReply(usual.code, text) } }
}

/** The text may begin with an enhanced code. */
function readReply(code: number, text: string): SmtpReply {
  const [, enhanced = '', words = ''] = /^(?:([45]\.\d{1,3}\.\d{1,3})(?:\s+|$))?(.*)$/s.exec(text) ?? []
  return makeReply(code, enhanced, printable(words))
}

function fieldOf(text: string): Change {
  const [, name = '', value = ''] = /^([^\s:]+)[ \t]*:(.*)$/s.exec(text) ?? []
  if (!makeField(name, value)) throw new FilterTrouble('a PREPEND without a header field')
  const spaced = /^[ \t]/.test(value) ? value : ` ${value}`
  return { kind: 'insert-field', index: 0, name, value: Buffer.from(spaced).toString('latin1') }
}

function addressIn(text: string): string {
  const address = /^<(.*)>$/s.exec(text.trim())?.[1] ?? text.trim()
  if (!/^[^\s<>]+@[^\s<>]+$/.test(address)) throw new FilterTrouble('an action without an address')
  return address
}
