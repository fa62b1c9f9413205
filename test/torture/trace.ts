/**
 * Reads what strace wrote (`-f -xx`) into calls. Pure.
 *
 * A call stands where it returned; `begun` says where it was entered, because a sync promises only what was
 * written before it began. Calls that failed, and whatever is no call, are left out.
 */

export interface Call {
  name: string
  /** The arguments as strace shows them. */
  text: string
  result: number
  /** Counts lines of the trace: entered, returned. */
  begun: number
  ended: number
}

const LINE = /^(\d+) +(.*)$/
const WHOLE = /^(\w+)\((.*)\) += (-?\d+)/s
const UNFINISHED = / <unfinished \.\.\.>$/
const RESUMED = /^<\.\.\. (\w+) resumed>(.*)$/s

export function readTrace(text: string): Call[] {
  const open = new Map<string, { text: string; begun: number }>()
  const calls: Call[] = []
  text.split('\n').forEach((line, at) => {
    const [, thread = '', rest = ''] = LINE.exec(line) ?? []
    if (UNFINISHED.test(rest)) {
      open.set(thread, { text: rest.replace(UNFINISHED, ''), begun: at })
      return
    }
    const tail = RESUMED.exec(rest)?.[2]
    const start = tail === undefined ? { text: '', begun: at } : open.get(thread)
    const call = start && readCall(start.text + (tail ?? rest))
    if (call) calls.push({ ...call, begun: start.begun, ended: at })
  })
  return calls
}

function readCall(text: string): Pick<Call, 'name' | 'text' | 'result'> | null {
  const [, name, args, result] = WHOLE.exec(text) ?? []
  if (name === undefined || args === undefined || Number(result) < 0) return null
  return { name, text: args, result: Number(result) }
}

/** The strings among a call's arguments, in order. */
export function stringsOf({ text }: Call): Buffer[] {
  return [...text.matchAll(/"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?/g)].map(([, hex = '', cut]) => {
    if (cut) throw new Error('strace cut a string short')
    return Buffer.from(hex.replaceAll('\\x', ''), 'hex')
  })
}

/** The arguments that are plain numbers, strings left out: `pwrite64(21, "…", 4096, 8192)` gives 21, 4096, 8192. */
export function numbersOf({ text }: Call): number[] {
  return text
    .replace(/"[^"]*"/g, '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => /^-?\d+$/.test(part))
    .map(Number)
}
