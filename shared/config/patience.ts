/** A listener's patience, from its section to its slice. Times in milliseconds. */
import type { listenerBlock } from './options.ts'
import type { Section } from './schema.ts'

export interface PatienceSlice {
  /** A TLS handshake. */
  handshake: number
  /** From the greeting to EHLO. */
  hello: number
  /** AUTH, with all that is asked. */
  login: number
  /** From MAIL to the content. */
  envelope: number
  /** The content: so long, and a second more for each `contentRate` octets. */
  content: number
  contentRate: number
  session: number
}

export interface TarpitSlice {
  /** Errors that cost nothing. */
  after: number
  /** At the first error beyond them; 0: never. */
  delay: number
  /** At one time, of each process. */
  sessions: number
}

export function patienceOf({ values }: Section<typeof listenerBlock>): PatienceSlice {
  return {
    handshake: values['handshake-deadline'],
    hello: values['hello-deadline'],
    login: values['login-deadline'],
    envelope: values['envelope-deadline'],
    content: values['content-deadline'],
    contentRate: values['content-rate'],
    session: values['session-deadline'],
  }
}

export function tarpitOf({ values }: Section<typeof listenerBlock>): TarpitSlice {
  return {
    after: values['tarpit-after'],
    delay: values['tarpit-delay'],
    sessions: values['tarpit-sessions'],
  }
}
