/**
 * What a session asks the resolver: effects become questions on the bus, and each answer the event that tells of it.
 * A question without an answer is told as null.
 */
import type { QueueBus } from './queue-bus.ts'
import type { Effect, Event, Setting } from './state.ts'

export type Inquiry = Extract<Effect, { kind: 'resolve' | 'screen' | 'greylist' | 'look-up' }>

/** @param setting what holds now; a login may have changed it. */
export function inquire(
  inquiry: Inquiry,
  bus: Pick<QueueBus, 'resolve' | 'screen' | 'greylist' | 'askMaps'>,
  { mayRelay, client }: Setting,
  tell: (event: Event) => void,
): void {
  switch (inquiry.kind) {
    case 'resolve': {
      const { n, address, explain } = inquiry
      const may = mayRelay || inquiry.mayRelay === true
      const question = { address, mayRelay: may, ...(explain && { explain }) }
      return bus.resolve(question, (answer) => tell({ kind: 'resolved', n, answer }))
    }
    case 'screen': {
      const { screening, helo } = inquiry
      const question = { screening, client, ...(helo !== null && { helo }) }
      return bus.screen(question, (answer) => tell({ kind: 'screened', answer }))
    }
    case 'greylist': {
      const { n, sender, recipient } = inquiry
      const question = { client, sender, recipient }
      return bus.greylist(question, (answer) => tell({ kind: 'greylisted', n, answer }))
    }
    case 'look-up':
      return bus.askMaps(inquiry.questions, () => tell({ kind: 'looked-up' }))
    default:
      return inquiry satisfies never
  }
}
