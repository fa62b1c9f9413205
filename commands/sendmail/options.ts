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
import {
  type Effect,
  setAsIs,
  setBody,
  setEnvid,
  setErrorMode,
  setFlush,
  setFromHeader,
  setFullName,
  setIgnoreDots,
  setLongOption,
  setMode,
  setNotify,
  setRet,
  setRunMode,
  setSeconds,
  setSender,
  setShortOption,
  setText,
  setVerbose,
} from './option-values.ts'

/** verify asks the server about addresses, why for the rules that decide, and both send nothing; hoststat shows what hosts said that mail waits for. */
export type Mode = 'deliver' | 'verify' | 'why' | 'mailq' | 'newaliases' | 'hoststat' | 'smtp' | 'flush'

export interface Options {
  mode: Mode
  /** -t: recipients come from the header, too. */
  fromHeader: boolean
  /** -i: a lone dot is a line like any other. */
  ignoreDots: boolean
  /** -f, -r: null when not given, '' for the null reverse-path. */
  sender: string | null
  fullName: string | null
  /** -G: the message comes from elsewhere, so its header is to stay as it is. */
  asIs: boolean
  body: '7BIT' | '8BITMIME' | null
  notify: string | null
  ret: 'FULL' | 'HDRS' | null
  envid: string | null
  recipients: string[]
  /** -odi: wait for the first attempt. */
  wait: boolean
  /** -v: show the conversation. */
  verbose: boolean
  /** -oeq: the exit code alone says what is wrong. */
  silent: boolean
  /** -qI, -qR, -qS: part of the queue, in words of `posthorn queue`. */
  selection: string[]
  socket: string | null
  queueSocket: string | null
  config: string | null
  /** -a: of accounts.conf. */
  account: string | null
  /** Seconds to keep trying to connect, and to wait in any one phase after that. */
  retryWindow: number
  patience: number | null
}

export type Parsed = { kind: 'options'; options: Options } | { kind: 'usage'; message: string }

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
  E: swallowedWord,
  F: { takes: 'word', effect: setFullName },
  G: { takes: 'nothing', effect: setAsIs },
  I: { takes: 'nothing', effect: setMode('newaliases') },
  J: swallowedWord,
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
  a: { takes: 'word', effect: setText('account') },
  b: { takes: 'word', effect: setRunMode },
  c: swallowed,
  d: swallowedGlued,
  e: { takes: 'word', effect: setErrorMode },
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
  v: { takes: 'nothing', effect: setVerbose },
  x: swallowed,
}

const longOptions: Readonly<Record<string, Effect>> = {
  socket: setText('socket'),
  'queue-socket': setText('queueSocket'),
  config: setText('config'),
  account: setText('account'),
  wait: setSeconds('retryWindow'),
  timeout: setSeconds('patience'),
}

/** Without a value. */
const longSwitches: Readonly<Record<string, Effect>> = {
  why: setMode('why'),
}

export const DEFAULT_RETRY_WINDOW = 10

export function parseOptions(argv: readonly string[]): Parsed {
  const options: Options = {
    mode: 'deliver',
    fromHeader: false,
    ignoreDots: false,
    sender: null,
    fullName: null,
    asIs: false,
    body: null,
    notify: null,
    ret: null,
    envid: null,
    recipients: [],
    wait: false,
    verbose: false,
    silent: false,
    selection: [],
    socket: null,
    queueSocket: null,
    config: null,
    account: null,
    retryWindow: DEFAULT_RETRY_WINDOW,
    patience: null,
  }
  const bad = argv.find((word) => /[\r\n\0]/.test(word))
  if (bad !== undefined) return usage(`line end in the argument ${JSON.stringify(bad)}`)
  // what Node makes of octets that are no UTF-8: whose address it was is lost
  const torn = argv.find((word) => word.includes('\ufffd'))
  if (torn !== undefined) return usage(`an argument is not UTF-8: ${torn}`)
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
  const act = Object.hasOwn(longSwitches, name) ? longSwitches[name] : undefined
  if (act) return glued === undefined ? act(options, '') : `--${name} takes no value`
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
