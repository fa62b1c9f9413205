/** What a command leaves with when it cannot do its work; sysexits(3), and 1 and 3 for answers that scripts ask for. */
export const exits = {
  ok: 0,
  /** The configuration has mistakes; a process has been given up. */
  bad: 1,
  /** `queue list --exit-code`: there is nothing. */
  nothing: 3,
  usage: 64,
  /** The message is not in the queue. */
  missing: 66,
  /** The server does not run. */
  unavailable: 69,
  software: 70,
  /** It runs, but does not answer, or something took too long. */
  temporary: 75,
  /** Not for this caller to do. */
  forbidden: 77,
} as const
export type Exit = (typeof exits)[keyof typeof exits]

export class Trouble extends Error {
  override name = 'Trouble'
  readonly exit: Exit

  constructor(exit: Exit, message: string) {
    super(message)
    this.exit = exit
  }
}
