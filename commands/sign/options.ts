/**
 * The command line of signmail, in sendmail's shapes, so that mail programs call it in sendmail's place: pure.
 *
 * Letters that only a server cares for (`-o…`, `-B`, `-N`, `-R`, `-V`) are swallowed with their words; an unknown
 * letter is refused. `import FILE` is a word of its own.
 */
export interface Options {
  /** As given, to be read as address lists. */
  recipients: string[]
  fromHeader: boolean
  ignoreDots: boolean
  sender: string | null
  config: string | null
  /** Print the signed message and send nothing. */
  print: boolean
  /** Send again to those of whom nobody knows whether they got it. */
  again: boolean
}

export type Parsed =
  | { kind: 'send'; options: Options }
  | { kind: 'import'; file: string; part: 'user' | 'server' }
  | { kind: 'help' }
  | { kind: 'usage'; message: string }

export const USAGE = `usage: signmail [-t] [-i] [-f ADDRESS] [-C FILE] [--print] [--again] [--] [ADDRESS …]
       signmail import [--server] CONFIG.JSON
Reads a message, cleans it, signs it with the sender's key and hands it to the sender's server.
  -t         recipients from To, Cc and Bcc, beside those given; so it is anyway where none are given
  -i, -oi    a lone dot does not end the message
  -f         the reverse-path, and whose key is used; else the address in From
  -C         the configuration, instead of ~/.config/posthorn/sign.conf
  --print    print what would be sent, and send nothing
  --again    send to those, too, of whom an earlier run could not tell whether they got it
  import     print a configuration made of GoSendmail's; --server: what of it is for the server
`

/** Letters with a word that means nothing here. */
const SWALLOWED = 'BFLNORVXho'
const FLAGS = 'Gmnsvx'

export function parseOptions(argv: readonly string[]): Parsed {
  if (argv[0] === 'import') return readImport(argv.slice(1))
  const options: Options = {
    recipients: [],
    fromHeader: false,
    ignoreDots: false,
    sender: null,
    config: null,
    print: false,
    again: false,
  }
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] as string
    if (word === '--help') return { kind: 'help' }
    if (word === '--') return { kind: 'send', options: { ...options, recipients: argv.slice(at + 1) } }
    if (!word.startsWith('-') || word === '-')
      return { kind: 'send', options: { ...options, recipients: argv.slice(at) } }
    const used = word.startsWith('--')
      ? long(options, word, argv[at + 1])
      : short(options, word, argv[at + 1])
    if (typeof used === 'string') return { kind: 'usage', message: used }
    at += used
  }
  return { kind: 'send', options }
}

function readImport(argv: readonly string[]): Parsed {
  const server = argv[0] === '--server'
  const [file, ...more] = server ? argv.slice(1) : argv
  if (file === undefined || file.startsWith('--') || more.length > 0)
    return { kind: 'usage', message: 'import wants one file' }
  return { kind: 'import', file, part: server ? 'server' : 'user' }
}

/** How many further words it took, or what is wrong. */
function long(options: Options, word: string, next: string | undefined): number | string {
  if (word === '--print') options.print = true
  else if (word === '--again') options.again = true
  else if (word === '--config')
    return value(word, '', next, (text) => void Object.assign(options, { config: text }))
  else return `unknown option ${word}`
  return 0
}

function short(options: Options, word: string, next: string | undefined): number | string {
  for (let at = 1; at < word.length; at++) {
    const letter = word.charAt(at)
    const rest = word.slice(at + 1)
    if (letter === 't') options.fromHeader = true
    else if (letter === 'i') options.ignoreDots = true
    else if (letter === 'f' || letter === 'r')
      return value(`-${letter}`, rest, next, (text) => setSender(options, text))
    else if (letter === 'C')
      return value('-C', rest, next, (text) => void Object.assign(options, { config: text }))
    else if (letter === 'b' && rest === 'm') return 0
    else if (SWALLOWED.includes(letter)) {
      if (letter === 'o' && rest === 'i') options.ignoreDots = true
      return rest === '' ? 1 : 0
    } else if (!FLAGS.includes(letter)) return `unknown option -${letter}`
  }
  return 0
}

function value(
  name: string,
  glued: string,
  next: string | undefined,
  take: (text: string) => void,
): number | string {
  const text = glued === '' ? next : glued
  if (text === undefined) return `${name} needs a value`
  take(text)
  return glued === '' ? 1 : 0
}

function setSender(options: Options, text: string): void {
  options.sender = text.replace(/^<(.*)>$/, '$1')
}
