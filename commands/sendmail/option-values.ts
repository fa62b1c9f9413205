/**
 * What each option of sendmail does with its value: checks it and puts it into `Options`. A text returned is what is
 * wrong with it. Which letter takes what, and which are swallowed, is the table in `options.ts`.
 */
import { readAddresses } from '../../shared/message/address-list.ts'
import type { Mode, Options } from './options.ts'

export type Effect = (options: Options, value: string) => string | undefined

export function setMode(mode: Mode): Effect {
  return (options) => {
    options.mode = mode
    return undefined
  }
}

const NOT_HERE = 'is not what this command is for; see "posthorn help"'

/** -b: m deliver, p list the queue, i check aliases, s SMTP on standard input, v and t verify, h what hosts said. */
export function setRunMode(options: Options, value: string): string | undefined {
  switch (value.charAt(0)) {
    case 'm':
      return setMode('deliver')(options, '')
    case 'p':
      return setMode('mailq')(options, '')
    case 'i':
      return setMode('newaliases')(options, '')
    case 's':
      return setMode('smtp')(options, '')
    case 'd':
    case 'D':
      return 'the server is started by "posthorn start", not by -bd'
    case 'v':
    case 't':
      return setMode('verify')(options, '')
    case 'h':
      return setMode('hoststat')(options, '')
    case 'H':
      return 'no status of hosts is kept; "posthorn queue retry --all" tries dead ones, too'
    default:
      return `-b${value} ${NOT_HERE}`
  }
}

export function setFlush(options: Options, value: string): string | undefined {
  if (/^[pf]?\d/.test(value)) return '-q with a time is the server: "posthorn start" retries by itself'
  const selection = value === '' || value === 'f' ? [] : selectionOf(value.charAt(0), value.slice(1))
  if (!selection) return `-q${value}: -q, or -qI, -qR, -qS with what to look for; see "posthorn queue"`
  options.selection = selection
  // with -bp it says what to list
  return options.mode === 'mailq' ? undefined : setMode('flush')(options, '')
}

function selectionOf(kind: string, what: string): string[] | null {
  if (what === '') return null
  if (kind === 'I') return [what]
  if (kind === 'R') return ['--recipient', `*${what}*`]
  return kind === 'S' ? ['--sender', `*${what}*`] : null
}

export function setBody(options: Options, value: string): string | undefined {
  const body = value.toUpperCase()
  if (body !== '7BIT' && body !== '8BITMIME') return `-B ${value}: 7BIT or 8BITMIME`
  options.body = body
  return undefined
}

export function setSender(options: Options, value: string): string | undefined {
  if (value === '' || value === '<>') {
    options.sender = ''
    return undefined
  }
  const addresses = readAddresses(value)
  if (addresses.kind === 'bad' || addresses.list.length !== 1) return `-f ${value}: not an address`
  options.sender = addresses.list[0] ?? ''
  return undefined
}

export function setAsIs(options: Options): undefined {
  options.asIs = true
}

export function setFullName(options: Options, value: string): string | undefined {
  options.fullName = value
  return undefined
}

/** RFC 3461 section 4.1. */
export function setNotify(options: Options, value: string): string | undefined {
  const words = value.toUpperCase().replace(/\bDELAYED\b/, 'DELAY')
  const known = words.split(',').every((word) => ['SUCCESS', 'FAILURE', 'DELAY'].includes(word))
  if (words !== 'NEVER' && !known) return `-N ${value}: never, or success, failure, delay joined by commas`
  options.notify = words
  return undefined
}

/** RFC 3461 section 4.3. */
export function setRet(options: Options, value: string): string | undefined {
  const ret = value.toUpperCase()
  if (ret !== 'FULL' && ret !== 'HDRS') return `-R ${value}: full or hdrs`
  options.ret = ret
  return undefined
}

/** RFC 3461 section 4.4: at most 100 printable characters. */
export function setEnvid(options: Options, value: string): string | undefined {
  if (!/^[\x21-\x7e]{1,100}$/.test(value)) return `-V ${value}: 1 to 100 printable characters`
  options.envid = value
  return undefined
}

export function setIgnoreDots(options: Options): undefined {
  options.ignoreDots = true
}

export function setFromHeader(options: Options): undefined {
  options.fromHeader = true
}

/** -o: `i` is -i, `d` the delivery mode, `e` the error mode; the others set what is the server's business here. */
export function setShortOption(options: Options, value: string): string | undefined {
  switch (value.charAt(0)) {
    case 'i':
      options.ignoreDots = true
      return undefined
    case 'd':
      return setDeliveryMode(options, value.slice(1))
    case 'e':
      return setErrorMode(options, value.slice(1))
    default:
      return undefined
  }
}

/** Of -od only `i` makes a difference: what is accepted is tried at once, and on stable storage before that. */
function setDeliveryMode(options: Options, value: string): undefined {
  options.wait = value.charAt(0).toLowerCase() === 'i'
}

/** Of -oe only `q`: errors go to standard error and the exit code, and nobody is mailed. */
export function setErrorMode(options: Options, value: string): undefined {
  options.silent = value.charAt(0).toLowerCase() === 'q'
}

export function setVerbose(options: Options): undefined {
  options.verbose = true
}

export function setLongOption(options: Options, value: string): undefined {
  const [name = '', setting = 'true'] = value.split('=').map((part) => part.trim())
  const known = name.toLowerCase()
  if (known === 'ignoredots') options.ignoreDots = /^[ty1]/i.test(setting)
  if (known === 'deliverymode') setDeliveryMode(options, setting)
  if (known === 'errormode') setErrorMode(options, setting)
}

export function setText(key: 'socket' | 'queueSocket' | 'config' | 'account'): Effect {
  return (options, value) => {
    options[key] = value
    return undefined
  }
}

export function setSeconds(key: 'retryWindow' | 'patience'): Effect {
  return (options, value) => {
    const seconds = Number(value)
    if (!/^\d+(\.\d+)?$/.test(value) || seconds > 86_400) return `${value}: not a number of seconds`
    options[key] = seconds
    return undefined
  }
}
