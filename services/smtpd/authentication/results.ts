/**
 * The field Authentication-Results (RFC 8601): written on top of a message, and taken out where somebody else has
 * written it in our name. Pure.
 *
 * Large content has left before its results are known, so room is kept for the field: `reserve` gives it with the
 * longest words there are, `render` with the true ones and blanks at the ends of lines, of the same length. ASCII.
 */
import type { Answer } from '../../../shared/bus/messages.ts'
import type { ArcVerdict } from './arc.ts'

export type SpfResult = Answer<'sender-policy'>['result']
export type DkimResult = 'none' | 'pass' | 'fail' | 'policy' | 'temperror' | 'permerror'
export type DmarcResult = 'none' | 'pass' | 'fail' | 'temperror' | 'permerror'
export type Policy = 'none' | 'quarantine' | 'reject'

export interface DkimVerdict {
  result: DkimResult
  domain: string
  selector: string
  /** The beginning of its `b=`: two signatures of one key are told apart by it. */
  mark: string
}

export interface Results {
  spf: { result: SpfResult; identity: 'mailfrom' | 'helo'; value: string; explanation?: string }
  dkim: readonly DkimVerdict[]
  /** published: where somebody wants reports and they are sent. */
  dmarc: { result: DmarcResult; policy: Policy; from: string; published?: Published }
  /** Null: nobody has sealed it. */
  arc: ArcVerdict | null
}

/** A policy that was found, and which proofs were for a domain that is the author's. */
export interface Published {
  domain: string
  record: string
  spf: boolean
  dkim: boolean
}

/** The same message, with the longest results. */
function longest({ spf, dkim, dmarc, arc }: Results): Results {
  return {
    spf: { ...spf, result: 'temperror' },
    dkim: dkim.map((one) => ({ ...one, result: 'temperror' })),
    dmarc: { ...dmarc, result: 'temperror', policy: 'quarantine' },
    arc: arc && { ...arc, result: 'temperror', trusted: true },
  }
}

export function reserve(hostname: string, results: Results): string {
  return print(linesOf(hostname, longest(results)))
}

export function render(hostname: string, results: Results): string {
  const room = linesOf(hostname, longest(results))
  return print(linesOf(hostname, results).map((line, n) => line.padEnd(room[n]?.length ?? 0)))
}

function print(lines: readonly string[]): string {
  return `${lines.join('\r\n\t')}\r\n`
}

function linesOf(hostname: string, { spf, dkim, dmarc, arc }: Results): string[] {
  const signatures = dkim.map(
    ({ result, domain, selector, mark }) =>
      `dkim=${result} header.d=${value(domain)} header.s=${value(selector)} header.b="${mark}";`,
  )
  return [
    `Authentication-Results: ${hostname};`,
    `spf=${spf.result} smtp.${spf.identity}=${value(spf.value)};`,
    ...(signatures.length > 0 ? signatures : ['dkim=none;']),
    ...(arc ? [arcLine(arc)] : []),
    `dmarc=${dmarc.result} (p=${dmarc.policy}) header.from=${value(dmarc.from)}`,
  ]
}

/** Who has sealed it last stands in a comment: RFC 8617 has no property for that. */
function arcLine({ result, sets, sealer, trusted }: ArcVerdict): string {
  const by = /^[A-Za-z0-9._-]+$/.test(sealer) ? ` ${sealer}` : ''
  return `arc=${result} (i=${sets}${by}${trusted ? ', trusted' : ''});`
}

/** A token stands as it is, the rest in quotes (RFC 8601 section 2.2). */
function value(text: string): string {
  if (/^[A-Za-z0-9._-]+$/.test(text)) return text
  return `"${text.replace(/[^\x20-\x7e]|["\\]/g, '?')}"`
}

/**
 * RFC 8601 section 5: whoever reads such a field would take it for our word. What is no field stays where it is.
 *
 * @param header with its blank line, where there is one.
 */
export function withoutClaims(header: string, hostname: string): string {
  if (!/^authentication-results[ \t]*:/im.test(header)) return header
  const parts = header.split(/\r\n(?![ \t])/)
  return parts.filter((part) => !claimsToBe(part, hostname.toLowerCase())).join('\r\n')
}

function claimsToBe(field: string, ours: string): boolean {
  if (!/^authentication-results[ \t]*:/i.test(field)) return false
  const value = withoutComments(field.slice(field.indexOf(':') + 1))
  const said = value.replaceAll('"', '').trim().toLowerCase()
  return said.startsWith(ours) && /^(?:$|[^a-z0-9._-])/.test(said.slice(ours.length))
}

function withoutComments(text: string): string {
  let kept = ''
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    if (depth > 0 && char === '\\') at++
    else if (char === '(') depth++
    else if (depth > 0) depth -= char === ')' ? 1 : 0
    else kept += char
  }
  return kept
}
