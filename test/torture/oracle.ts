/**
 * Joins what was promised with what arrived. Pure.
 *
 * Lost: promised, and missing in one of its places. Stray: arrived or reported, though it was refused for good or
 * never sent.
 * Duplicates: copies beyond the first at one place; they are allowed. Double-bounced: two different reports about
 * one recipient. Bounced: a report about somebody whose mail could be delivered.
 */
import type { Ledger } from '../support/load.ts'
import { recipientsOfReport } from './scene.ts'

/** One stream of mail: everything in it goes to the same places. */
export interface Stream {
  name: string
  promised: readonly string[]
  ledger: Ledger
  /** Names of places; a place of reports says whom it must tell of. */
  places: readonly string[]
}

export interface Verdict {
  promised: number
  lost: string[]
  duplicates: number
  doubleBounced: string[]
  corrupted: number
  strays: string[]
  wronglyBounced: string[]
}

export interface Arrived {
  /** Marks by place, in whatever order; null for what is not whole. */
  mail: ReadonlyMap<string, readonly (string | null)[]>
  reports: readonly Uint8Array[]
}

/** The place where reports about this recipient count as arrival. */
export const REPORT = 'report of '

export function judge(streams: readonly Stream[], arrived: Arrived): Verdict {
  const reports = readReports(arrived.reports)
  const verdict: Verdict = {
    promised: 0,
    lost: [],
    duplicates: reports.duplicates,
    doubleBounced: reports.doubleBounced,
    corrupted: reports.unreadable,
    strays: [],
    wronglyBounced: [],
  }
  const marksAt = (place: string) => arrived.mail.get(place) ?? reports.marks.get(place) ?? []
  for (const { name, promised, places } of streams) {
    verdict.promised += promised.length
    for (const place of places) {
      const here = new Set(marksAt(place))
      verdict.lost.push(
        ...promised.filter((mark) => !here.has(mark)).map((mark) => `${name}: ${mark} at ${place}`),
      )
    }
  }
  for (const [place, marks] of arrived.mail) countPlace(place, marks, streams, verdict)
  for (const [place, marks] of reports.marks) countStrays(place, new Set(marks), streams, verdict)
  const expected = new Set(streams.flatMap(({ places }) => places))
  verdict.wronglyBounced.push(...[...reports.marks.keys()].filter((place) => !expected.has(place)))
  return verdict
}

function countPlace(
  place: string,
  marks: readonly (string | null)[],
  streams: readonly Stream[],
  verdict: Verdict,
): void {
  const whole = marks.filter((mark) => mark !== null)
  const distinct = new Set(whole)
  verdict.corrupted += marks.length - whole.length
  verdict.duplicates += whole.length - distinct.size
  countStrays(place, distinct, streams, verdict)
}

/** Reports are no exception: what was refused to the client is reported to nobody. */
function countStrays(
  place: string,
  distinct: ReadonlySet<string>,
  streams: readonly Stream[],
  verdict: Verdict,
): void {
  const here = streams.filter(({ places }) => places.includes(place))
  const sent = (mark: string) =>
    here.some(({ ledger: { accepted, doubtful } }) => accepted.has(mark) || doubtful.has(mark))
  verdict.strays.push(...[...distinct].filter((mark) => !sent(mark)).map((mark) => `${mark} at ${place}`))
}

interface Reports {
  marks: Map<string, string[]>
  duplicates: number
  doubleBounced: string[]
  unreadable: number
}

function readReports(contents: readonly Uint8Array[]): Reports {
  const found: Reports = { marks: new Map(), duplicates: 0, doubleBounced: [], unreadable: 0 }
  const idsOf = new Map<string, Set<string>>()
  for (const content of contents) {
    const text = Buffer.from(content).toString('latin1').replace(/\r?\n/g, '\r\n')
    const mark = /^X-Mark: (\S+)\r$/m.exec(text)?.[1]
    const id = /^Message-ID: (\S+)\r$/im.exec(text)?.[1]
    const recipients = recipientsOfReport(Buffer.from(text, 'latin1'))
    if (!mark || !id || recipients.length === 0) found.unreadable++
    else for (const recipient of recipients) countReport(found, idsOf, { mark, id, recipient })
  }
  return found
}

function countReport(
  found: Reports,
  idsOf: Map<string, Set<string>>,
  { mark, id, recipient }: { mark: string; id: string; recipient: string },
): void {
  const place = `${REPORT}${recipient}`
  found.marks.set(place, [...(found.marks.get(place) ?? []), mark])
  const key = `${recipient} ${mark}`
  const ids = idsOf.get(key) ?? new Set()
  idsOf.set(key, ids)
  if (ids.has(id)) found.duplicates++
  else if (ids.size > 0) found.doubleBounced.push(key)
  ids.add(id)
}
