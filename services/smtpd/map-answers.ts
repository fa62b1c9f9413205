/**
 * What maps have said a moment ago, so that a command that is taken again finds it, and so that one session after
 * another does not ask the same. KEPT_MS at most, trouble only as long as it takes to answer. Bounded; the oldest
 * leaves first.
 */
import type { Answer, Payload } from '../../shared/bus/messages.ts'

type Question = Payload<'look-up'>['questions'][number]
type MapAnswer = Answer<'look-up'>['answers'][number]

const KEPT_MS = 2000
const TROUBLE_MS = 100
const MOST = 10_000

const LOST: MapAnswer = { kind: 'trouble', why: 'the resolver does not answer' }

export class MapAnswers {
  readonly #kept = new Map<string, { answer: MapAnswer; until: number }>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  get(question: Question): MapAnswer | null {
    const kept = this.#kept.get(keyOf(question))
    return kept && kept.until > this.#now() ? kept.answer : null
  }

  /** What it said last, however long ago: for what no mail is refused for. */
  last(question: Question): MapAnswer | null {
    return this.#kept.get(keyOf(question))?.answer ?? null
  }

  /** @param answers null: nobody could be asked. */
  put(questions: readonly Question[], answers: Answer<'look-up'>['answers'] | null): void {
    for (const [index, question] of questions.entries()) {
      const answer = answers?.[index] ?? LOST
      const key = keyOf(question)
      this.#kept.delete(key)
      const time = answer.kind === 'trouble' ? TROUBLE_MS : KEPT_MS
      this.#kept.set(key, { answer, until: this.#now() + time })
    }
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST) return
      this.#kept.delete(oldest)
    }
  }

  clear(): void {
    this.#kept.clear()
  }
}

function keyOf({ map, use, key }: Question): string {
  return `${map} ${use} ${key}`
}
