/**
 * The command line of sendmail(8), every letter that programs have been calling it with since 1983.
 *
 * One table says what each letter takes (nothing, a word, a word only if glued to it) and what it means here;
 * letters that have lost their meaning are swallowed with their argument, so that the recipients behind them are
 * still recipients. Options may be clustered (`-ti`) and end at `--` or at the first word that is none: a
 * recipient can never turn into an option. `-q` and `-d` take an argument only when it is glued on.
 *
 * Fails: a letter that sendmail never had, a missing argument, a value out of place: `usage`, exit code 64.
 */
import { readAddresses } from './address-list.ts'

export type Mode = 'deliver' | 'mailq' | 'newaliases' | 'smtp' | 'flush'

export interface Options {
  mode: Mode
  /** -t: recipients come from the header, too. */
  fromHeader: boolean
  /** -i: a lone dot is a line like any other. */
  ignoreDots: boolean
  /** -f, -r: null when not given, '' for the null reverse-path. */
  sender: string | null
  fullName: string | null
  body: '7BIT' | '8BITMIME' | null
  notify: string | null
  ret: 'FULL' | 'HDRS' | null
  envid: string | null
  recipients: string[]
  socket: string | null
  queueSocket: string | null
  config: string | null
  /** Seconds to keep trying to connect, and to wait in any one phase after that. */
  retryWindow: number
  patience: number | null
}

export type Parsed = { kind: 'options'; options: Options } | { kind: 'usage'; message: string }

type Effect = (options: Options, value: string) => string | undefined
interface Letter {
  takes: 'nothing' | 'word' | 'glued'
  /** Absent: swallowed on purpose. A text returned is what is wrong with the value. */
  effect?: Effect
}

const swallowed = { takes: 'nothing' } as const
const swallowedWord = { takes: 'word' } as const
const swallowedGlued = { takes: 'glued' } as const

/** What each letter means; `commands/README.md` shows this as a table. */
const letters: Readonly<Record<string, Letter>> = {
  A: swallowedWord,
  B: { takes: 'word', effect: setBody },
  C: swallowedWord,
  D: swallowedWord,
  F: { takes: 'word', effect: setFullName },
  G: swallowed,
  I: { takes: 'nothing', effect: setMode('newaliases') },
  L: swallowedWord,
  M: swallowedWord,
  N: { takes: 'word', effect: setNotify },
  O: { takes: 'word', effect: setLongOption },
  Q: swallowedGlued,
  R: { takes: 'word', effect: setRet },
  T: swallowed,
  U: swallowed,
  V: { takes: 'word', effect: setEnvid },
  X: swallowedWord,
  b: { takes: 'word', effect: setRunMode },
  c: swallowed,
  d: swallowedGlued,
  e: swallowedWord,
  f: { takes: 'word', effect: setSender },
  h: swallowedWord,
  i: { takes: 'nothing', effect: setIgnoreDots },
  m: swallowed,
  n: swallowed,
  o: { takes: 'word', effect: setShortOption },
  p: swallowedWord,
  q: { takes: 'glued', effect: setFlush },
  r: { takes: 'word', effect: setSender },
  s: swallowed,
  t: { takes: 'nothing', effect: setFromHeader },
  v: swallowed,
  x: swallowed,
}

const longOptions: Readonly<Record<string, Effect>> = {
  socket: setText('socket'),
  'queue-socket': setText('queueSocket'),
  config: setText('config'),
  wait: setSeconds('retryWindow'),
  timeout: setSeconds('patience'),
}

export const DEFAULT_RETRY_WINDOW = 10

export function parseOptions(argv: readonly string[]): Parsed {
  const options: Options = {
    mode: 'deliver',
    fromHeader: false,
    ignoreDots: false,
    sender: null,
    fullName: null,
    body: null,
    notify: null,
    ret: null,
    envid: null,
    recipients: [],
    socket: null,
    queueSocket: null,
    config: null,
    retryWindow: DEFAULT_RETRY_WINDOW,
    patience: null,
  }
  const bad = argv.find((word) => /[\r\n\0]/.test(word))
  if (bad !== undefined) return usage(`line end in the argument ${JSON.stringify(bad)}`)
  const words = [...argv]
  while (words[0]?.startsWith('-') && words[0] !== '-') {
    const word = words.shift() ?? ''
    if (word === '--') break
    const wrong = word.startsWith('--') ? longOption(options, word, words) : cluster(options, word, words)
    if (wrong) return usage(wrong)
  }
  options.recipients = words
  return { kind: 'options', options }
}

function usage(message: string): Parsed {
  return { kind: 'usage', message }
}

function longOption(options: Options, word: string, rest: string[]): string | undefined {
  const [name = '', glued] = splitOnce(word.slice(2))
  const effect = Object.hasOwn(longOptions, name) ? longOptions[name] : undefined
  if (!effect) return `unknown option --${name}`
  const value = glued ?? rest.shift()
  return value === undefined ? `--${name} needs a value` : effect(options, value)
}

function splitOnce(text: string): [string, string | undefined] {
  const at = text.indexOf('=')
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

/** `-ti`, `-fann@example.org`, `-f ann@example.org`: the letters of one word, from left to right. */
function cluster(options: Options, word: string, rest: string[]): string | undefined {
  for (let at = 1; at < word.length; at++) {
    const name = word.charAt(at)
    const letter = Object.hasOwn(letters, name) ? letters[name] : undefined
    if (!letter) return `unknown option -${name}`
    if (letter.takes === 'nothing') {
      const wrong = letter.effect?.(options, '')
      if (wrong) return wrong
      continue
    }
    const glued = word.slice(at + 1)
    const value = glued !== '' || letter.takes === 'glued' ? glued : rest.shift()
    return value === undefined ? `option -${name} needs a value` : letter.effect?.(options, value)
  }
  return undefined
}

function setMode(mode: Mode): Effect {
  return (options) => {
    options.mode = mode
    return undefined
  }
}

const NOT_HERE = 'is not what this command is for; see "posthorn help"'

/** -b: `m` deliver, `p` list the queue, `i` check aliases, `s` SMTP on standard input. */
function setRunMode(options: Options, value: string): string | undefined {
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
      return `-b${value}: not to be had: it ${NOT_HERE}`
    default:
      return `-b${value} ${NOT_HERE}`
  }
}

function setFlush(options: Options, value: string): string | undefined {
  if (/^\d/.test(value)) return '-q with a time is the server: "posthorn start" retries by itself'
  return setMode('flush')(options, '')
}

function setBody(options: Options, value: string): string | undefined {
  const body = value.toUpperCase()
  if (body !== '7BIT' && body !== '8BITMIME') return `-B ${value}: 7BIT or 8BITMIME`
  options.body = body
  return undefined
}

function setSender(options: Options, value: string): string | undefined {
  if (value === '' || value === '<>') {
    options.sender = ''
    return undefined
  }
  const addresses = readAddresses(value)
  if (addresses.kind === 'bad' || addresses.list.length !== 1) return `-f ${value}: not an address`
  options.sender = addresses.list[0] ?? ''
  return undefined
}

function setFullName(options: Options, value: string): string | undefined {
  options.fullName = value
  return undefined
}

/** RFC 3461 section 4.1. */
function setNotify(options: Options, value: string): string | undefined {
  const words = value.toUpperCase().replace(/\bDELAYED\b/, 'DELAY')
  const known = words.split(',').every((word) => ['SUCCESS', 'FAILURE', 'DELAY'].includes(word))
  if (words !== 'NEVER' && !known) return `-N ${value}: never, or success, failure, delay joined by commas`
  options.notify = words
  return undefined
}

/** RFC 3461 section 4.3. */
function setRet(options: Options, value: string): string | undefined {
  const ret = value.toUpperCase()
  if (ret !== 'FULL' && ret !== 'HDRS') return `-R ${value}: full or hdrs`
  options.ret = ret
  return undefined
}

/** RFC 3461 section 4.4: at most 100 printable characters. */
function setEnvid(options: Options, value: string): string | undefined {
  if (!/^[\x21-\x7e]{1,100}$/.test(value)) return `-V ${value}: 1 to 100 printable characters`
  options.envid = value
  return undefined
}

function setIgnoreDots(options: Options): undefined {
  options.ignoreDots = true
}

function setFromHeader(options: Options): undefined {
  options.fromHeader = true
}

/** -o: `i` is -i; the others set what is the server's business here. */
function setShortOption(options: Options, value: string): undefined {
  if (value.startsWith('i')) options.ignoreDots = true
}

function setLongOption(options: Options, value: string): undefined {
  const [name, setting = 'true'] = splitOnce(value)
  if (/^ignoredots$/i.test(name.trim())) options.ignoreDots = /^[ty1]/i.test(setting.trim())
}

function setText(key: 'socket' | 'queueSocket' | 'config'): Effect {
  return (options, value) => {
    options[key] = value
    return undefined
  }
}

function setSeconds(key: 'retryWindow' | 'patience'): Effect {
  return (options, value) => {
    const seconds = Number(value)
    if (!/^\d+(\.\d+)?$/.test(value) || seconds > 86_400) return `${value}: not a number of seconds`
    options[key] = seconds
    return undefined
  }
}
