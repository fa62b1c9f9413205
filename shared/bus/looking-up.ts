/**
 * What smtpd and `posthorn lookup` ask of maps, and what they hear; the parts of `messages.ts` that would be too long
 * there.
 */
import { list, oneOf, string, struct, union } from '../base/shape.ts'

export const lookUpQuestion = {
  questions: list(
    struct({
      map: string,
      /** What the key is, which says under which others it is looked for as well. */
      use: oneOf('address', 'name', 'rest', 'host', 'client', 'exact'),
      key: string,
    }),
    100,
  ),
}

export const lookUpAnswer = struct({
  /** In the order of the questions. */
  answers: list(
    union({
      /** key: the one under which it stands. */
      found: { key: string, value: string },
      missing: {},
      /** Ours: it cannot be told now. */
      trouble: { why: string },
    }),
    100,
  ),
})
