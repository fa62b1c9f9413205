/** What ends the program: an exit code, and the lines for standard error that say why. */
import { exitCodes } from './exit-code.ts'
import { InputError } from './message.ts'

export interface End {
  exit: number
  lines: readonly string[]
}

export class Stop extends Error implements End {
  readonly exit: number
  readonly lines: readonly string[]

  constructor(exit: number, lines: readonly string[]) {
    super(lines.join('\n'))
    this.exit = exit
    this.lines = lines
  }
}

export function endOf(error: unknown): End {
  if (error instanceof Stop) return error
  if (error instanceof InputError) return { exit: exitCodes.data, lines: [error.message] }
  const code = (error as NodeJS.ErrnoException | null)?.code
  if (code?.startsWith('E')) return { exit: exitCodes.io, lines: [`cannot read the message (${code})`] }
  return { exit: exitCodes.software, lines: [String(error)] }
}
