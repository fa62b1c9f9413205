/**
 * The types of load control: marks of a resource (`wait 90% refuse 100% relief 85%`) and limits of one client
 * (`connections 20 messages 600/1h`). `types.ts` explains what a type is.
 */
import type { Arguments } from './arguments.ts'
import type { Marks, Quota } from './slices.ts'
import { series, type Type } from './types.ts'
import { bad, formatDuration, formatSize, ok, parseDuration, parseSize, type Reading } from './units.ts'

/** A share as a ratio: `90%` is 0.9. */
export const percent: Type<number> = {
  syntax: 'PERCENT',
  read: (args) => args.parse('PERCENT', readPercent),
  valid: (value) => typeof value === 'number' && value >= 0,
  print: (value) => `${Math.round(value * 100)}%`,
}

function readPercent(text: string): Reading<number> {
  if (/^\d{1,6}%$/.test(text)) return ok(Number(text.slice(0, -1)) / 100)
  return bad(`\`${text}\` is no percentage`, /^\d{1,6}$/.test(text) ? `write \`${text}%\`` : 'such as `90%`')
}

/** @param better which way a resource gets better: a disk has `more` space, a queue `less` entries. */
export function marks(item: Type<number>, better: 'less' | 'more'): Type<Marks> {
  const { syntax } = item
  return {
    syntax: `wait ${syntax} refuse ${syntax} relief ${syntax}`,
    ...(item.range === undefined ? {} : { range: item.range }),
    read: (args) => {
      const wait = readMark(args, 'wait', item)
      const refuse = wait === undefined ? undefined : readMark(args, 'refuse', item)
      const relief = refuse === undefined ? undefined : readMark(args, 'relief', item)
      if (wait === undefined || refuse === undefined || relief === undefined) return undefined
      const sign = better === 'less' ? 1 : -1
      if (sign * relief <= sign * wait && sign * wait <= sign * refuse) return { wait, refuse, relief }
      const order = better === 'less' ? 'relief, wait, refuse grow' : 'refuse, wait, relief grow'
      return args.fail(args.last, 'these marks are out of order', `${order} in this order, or are equal`)
    },
    valid: (value) => isRecord(value) && [value['wait'], value['refuse'], value['relief']].every(item.valid),
    print: ({ wait, refuse, relief }) =>
      `wait ${item.print(wait)} refuse ${item.print(refuse)} relief ${item.print(relief)}`,
  }
}

function readMark(args: Arguments, name: string, item: Type<number>): number | undefined {
  return args.oneOf([name]) === undefined ? undefined : item.read(args)
}

/** Messages in a second: `500/s`. */
export const perSecond: Type<number> = {
  syntax: 'NUMBER/s',
  read: (args) =>
    args.parse('NUMBER/s', (text) =>
      /^\d{1,9}\/s$/.test(text)
        ? ok(Number(text.slice(0, -2)))
        : bad(`\`${text}\` is no number in a second`, 'such as `500/s`'),
    ),
  valid: (value) => typeof value === 'number' && value >= 0,
  print: (value) => `${value}/s`,
}

type Measure = Quota['measure']
const LONGEST_PERIOD_MS = 31 * 24 * 3600 * 1000

/** Several of them in one statement. */
export function quotas(...measures: readonly Measure[]): Type<Quota[]> {
  return series(quota(measures), 16)
}

function quota(measures: readonly Measure[]): Type<Quota> {
  return {
    syntax: measures.map((measure) => `${measure} ${syntaxOf[measure]}`).join(' | '),
    read: (args) => {
      const measure = args.oneOf(measures)
      if (measure === undefined) return undefined
      const amount = args.parse(syntaxOf[measure], (text) => readAmount(text, measure))
      return amount && { measure, ...amount }
    },
    valid: (value) => isRecord(value) && measures.some((measure) => measure === value['measure']),
    print: ({ measure, count, period }) => {
      const amount = measure === 'octets' ? formatSize(count) : String(count)
      return `${measure} ${amount}${period === null ? '' : `/${formatDuration(period)}`}`
    },
  }
}

const syntaxOf: Readonly<Record<Measure, string>> = {
  connections: 'NUMBER[/TIME]',
  messages: 'NUMBER/TIME',
  recipients: 'NUMBER/TIME',
  refusals: 'NUMBER/TIME',
  octets: 'SIZE/TIME',
}

/** `600/1h`, `600/h`, `1G/d`; `20` alone is at one time. */
function readAmount(text: string, measure: Measure): Reading<Omit<Quota, 'measure'>> {
  const [amount = '', time, ...rest] = text.split('/')
  const count = measure === 'octets' ? parseSize(amount) : readCount(amount)
  if (count.kind === 'bad') return count
  if (time === undefined && measure === 'connections') return ok({ count: count.value, period: null })
  const example = measure === 'octets' ? `${amount}/1h` : `${count.value}/1h`
  if (time === undefined || rest.length > 0)
    return bad(`\`${text}\` does not say in what time`, `write \`${example}\``)
  const period = parseDuration(/^[smhdw]$/i.test(time) ? `1${time}` : time)
  if (period.kind === 'bad') return period
  if (period.value >= 1000 && period.value <= LONGEST_PERIOD_MS)
    return ok({ count: count.value, period: period.value })
  return bad(`\`${time}\` is out of range`, '1s to 31d')
}

function readCount(text: string): Reading<number> {
  return /^[1-9]\d{0,8}$/.test(text) ? ok(Number(text)) : bad(`\`${text}\` is no number`, 'at least 1')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
