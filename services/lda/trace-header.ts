/**
 * The lines that final delivery puts on top of a message: Return-Path (RFC 5321 section 4.4), X-Original-To
 * for each address that an alias made into this one, and Delivered-To.
 *
 * One copy goes to each final address, however many recipients of the transaction came to stand for it: the
 * person wrote to twice reads it once.
 */

export interface DeliveryRecipient {
  n: number
  address: string
  original?: string | undefined
}

export interface CopyPlan {
  address: string
  /** What senders wrote, where that was something else. */
  originals: string[]
  /** The recipients that this copy settles. */
  settles: number[]
}

export function planCopies(recipients: readonly DeliveryRecipient[]): CopyPlan[] {
  const plans = new Map<string, CopyPlan>()
  for (const { n, address, original } of recipients) {
    const plan = plans.get(address) ?? { address, originals: [], settles: [] }
    plan.settles.push(n)
    if (original !== undefined && original !== address && !plan.originals.includes(original))
      plan.originals.push(original)
    plans.set(address, plan)
  }
  return [...plans.values()]
}

/** @param newline LF as everything on disk has it, CRLF on top of binary content. Addresses may be UTF-8 (RFC 6532 section 3.2). */
export function traceHeader(sender: string, plan: CopyPlan, newline: '\n' | '\r\n'): Buffer {
  const originals = plan.originals.map((address) => `X-Original-To: ${oneLine(address)}${newline}`).join('')
  return Buffer.from(
    `Return-Path: <${oneLine(sender)}>${newline}${originals}Delivered-To: ${oneLine(plan.address)}${newline}`,
  )
}

/** No address may end the line it stands in: whatever let one through, it stops here. */
function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
  return text.replace(/[\u0000-\u001f\u007f]/g, '?')
}
