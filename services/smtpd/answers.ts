/**
 * The resolver's good answers of the last moment: one address after another of the same list or domain is asked
 * for, and each question would cost a round trip. Only `found` with a route for every target is kept, for
 * KEPT_MS at most, so what an administrator changes holds two seconds later at RCPT; what is refused, late or
 * unrouted is asked for again each time. Bounded; the oldest leaves first.
 */
import type { Answer, Payload } from '../../shared/bus/messages.ts'

type Found = Extract<Answer<'resolve'>, { kind: 'found' }>

interface Kept {
  answer: Found
  until: number
}

const KEPT_MS = 2000
const MOST = 10_000

export class Answers {
  readonly #kept = new Map<string, Kept>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  get(question: Payload<'resolve'>): Found | null {
    return this.#fresh(keyOf(question, question.address)) ?? this.#ofDomain(question)
  }

  put(question: Payload<'resolve'>, answer: Answer<'resolve'>): void {
    if (answer.kind !== 'found' || !answer.targets.every(({ route }) => route)) return
    const key = keyOf(question, answer.wholeDomain ? domainOf(question.address) : question.address)
    this.#kept.delete(key)
    this.#kept.set(key, { answer, until: this.#now() + KEPT_MS })
    if (this.#kept.size <= MOST) return
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest)
      return
    }
  }

  clear(): void {
    this.#kept.clear()
  }

  /** Where the local part makes no difference, the answer for one address is the answer for all. */
  #ofDomain(question: Payload<'resolve'>): Found | null {
    const answer = this.#fresh(keyOf(question, domainOf(question.address)))
    if (!answer) return null
    return { ...answer, targets: answer.targets.map((target) => ({ ...target, address: question.address })) }
  }

  #fresh(key: string): Found | null {
    const kept = this.#kept.get(key)
    if (!kept) return null
    if (kept.until > this.#now()) return kept.answer
    this.#kept.delete(key)
    return null
  }
}

/** `@example.org`, which no whole address begins with. */
function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@'))
}

function keyOf({ mayRelay, expanded }: Payload<'resolve'>, what: string): string {
  return `${mayRelay === false ? 'n' : 'r'}${expanded ? '=' : ''}${what}`
}
