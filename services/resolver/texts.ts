/**
 * TXT records for whoever checks signatures: each record as one text, its strings put together (RFC 6376 section
 * 3.6.2.2). What is no name in DNS has none. Cached like every answer; DNS trouble is `later`, never `none`.
 */
import type { Answer as BusAnswer, Payload } from '../../shared/bus/messages.ts'
import type { Answer } from './dns/answer.ts'
import type { Stub } from './dns/stub.ts'

export type TextQuestion = Payload<'look-up-text'>
export type TextAnswer = BusAnswer<'look-up-text'>

/** Names with underscores are what this is for. */
const NAME =
  /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/
/** More than a name with a purpose has; the rest may be anything. */
const MOST_TEXTS = 64

export function lookUpText(
  dns: Pick<Stub, 'lookup'>,
  { name }: TextQuestion,
): TextAnswer | Promise<TextAnswer> {
  if (!NAME.test(name)) return { kind: 'found', texts: [] }
  const answer = dns.lookup(name, 'TXT')
  return answer instanceof Promise ? answer.then(readAnswer) : readAnswer(answer)
}

function readAnswer(answer: Answer): TextAnswer {
  if (answer.kind === 'failed') return { kind: 'later' }
  const records = answer.kind === 'records' ? answer.records : []
  const texts = records.flatMap((record) => (record.kind === 'txt' ? [record.text] : []))
  return {
    kind: 'found',
    texts: texts.slice(0, MOST_TEXTS),
    ...(answer.kind === 'nxdomain' && { absent: true }),
  }
}
