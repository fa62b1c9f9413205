/**
 * A listener's bounds, from its section to its slice. Nothing here fails: ranges are in the table, and a line limit
 * below what RFC 5322 section 2.1.1 lets everybody send is a problem of its own.
 */
import type { listenerBlock } from './options.ts'
import type { Problems } from './problem.ts'
import { placeOf, type Section } from './schema.ts'

export interface BoundsSlice {
  /** Octets of a command line with its CRLF. */
  commandLength: number
  /** Messages of one session. */
  transactions: number
  /** Received fields. */
  hops: number
  /** Octets of the header with its blank line. */
  headerSize: number
  headerFields: number
  /** Octets of a line without its CRLF. */
  headerLine: number
  /** The same, of each line of the content; 0: no bound. */
  line: number
  headerNul: 'refuse' | 'pass'
  bodyNul: 'refuse' | 'pass'
  header8bit: 'refuse' | 'pass'
}

const LEAST_LINE = 998

export function boundsOf(listener: Section<typeof listenerBlock>, problems: Problems): BoundsSlice {
  const { values } = listener
  const line = values['line-length-limit']
  if (line > 0 && line < LEAST_LINE)
    problems.error(
      placeOf(listener, 'line-length-limit'),
      `lines of ${LEAST_LINE} octets must be taken`,
      `write \`${LEAST_LINE}\` or more, or 0 for no bound`,
    )
  return {
    commandLength: values['command-length-limit'],
    transactions: values['transaction-limit'],
    hops: values['hop-limit'],
    headerSize: values['header-size-limit'],
    headerFields: values['header-field-limit'],
    headerLine: values['header-line-limit'],
    line,
    headerNul: values['header-nul'],
    bodyNul: values['body-nul'],
    header8bit: values['header-8bit'],
  }
}
