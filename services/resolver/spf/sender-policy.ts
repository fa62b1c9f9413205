/**
 * SPF for smtpd: the machine of `check-host.ts` fed by the stub resolver. Never rejects; what takes longer than
 * BUDGET_MS in all is a TempError (RFC 7208 section 4.6.4 asks for 20 seconds at least).
 */
import type { Answer as BusAnswer, Payload } from '../../../shared/bus/messages.ts'
import type { Answer } from '../dns/answer.ts'
import type { Lookups } from '../host-addresses.ts'
import { checkHost, type SpfOutcome } from './check-host.ts'

export type SenderPolicyQuestion = Payload<'sender-policy'>
export type SenderPolicyAnswer = BusAnswer<'sender-policy'>

const BUDGET_MS = 20_000

export async function senderPolicy(
  dns: Lookups,
  question: SenderPolicyQuestion,
  receiver: string,
): Promise<SenderPolicyAnswer> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), BUDGET_MS)
  })
  const machine = checkHost({ ...question, receiver, time: Math.floor(Date.now() / 1000) })
  let step = machine.next()
  while (!step.done) {
    const { name, type } = step.value
    const answer: Answer | null = await Promise.race([dns.lookup(name, type), late])
    if (answer === null) return tooLate(timer)
    step = machine.next(answer)
  }
  clearTimeout(timer)
  return print(step.value)
}

function tooLate(timer: NodeJS.Timeout | undefined): SenderPolicyAnswer {
  clearTimeout(timer)
  return { result: 'temperror' }
}

function print({ result, explanation }: SpfOutcome): SenderPolicyAnswer {
  return { result, ...(explanation !== null && { explanation }) }
}
